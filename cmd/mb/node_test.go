package main

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"mbserver/client"
	"mbserver/server"
	"mbserver/server/config"
	"mbserver/server/logging"
)

// newNode starts a real node on any ports, which the commands of the test talk to.
func newNode(t *testing.T) *server.Node {
	t.Helper()
	n := startNode(t, config.Default())
	t.Setenv("MB_TOKEN", "")
	t.Setenv("MB_ADMIN", "")
	t.Setenv("MB_SERVER", "tcp://"+n.Addr("tcp"))
	return n
}

// startNode starts a real node, with TLS if cfg has a certificate.
func startNode(t *testing.T, cfg config.Config) *server.Node {
	t.Helper()
	cfg.Host = "127.0.0.1"
	cfg.Ports = config.Ports{WS: config.AnyPort, TCP: config.AnyPort}
	if cfg.TLS() {
		cfg.Ports.WSS, cfg.Ports.TLS = config.AnyPort, config.AnyPort
	}
	cfg.Admin.Address = "127.0.0.1:0"
	cfg.Loops, cfg.Shutdown.Spread = 1, 0
	logs := logging.New(io.Discard, slog.LevelInfo, config.FormatJSON)
	n, err := server.New(cfg, server.Options{
		Logger: slog.New(logs), Logs: logs, Version: "1.2.3-test",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		_ = logs.Close(ctx) // It writes to nothing.
	})
	return n
}

// dialNode is a client of the node with that name; "" is none.
func dialNode(t *testing.T, n *server.Node, name string) *client.Client {
	t.Helper()
	var opts []client.Option
	if name != "" {
		opts = append(opts, client.WithName(name))
	}
	c, err := client.Dial(context.Background(), "tcp://"+n.Addr("tcp"), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// clockAndNews are a client that answers requests, and one that listens.
func clockAndNews(t *testing.T, n *server.Node) (clock, news *client.Client) {
	t.Helper()
	ctx := context.Background()
	clock, news = dialNode(t, n, "clock"), dialNode(t, n, "news")
	_, err := clock.Handle(ctx, "time.now", func(context.Context, client.Request) ([]byte, error) {
		return []byte("now"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"news.#", "news.weather", "sport.+"} {
		if _, err := news.Subscribe(ctx, pattern, func(client.Message) {}); err != nil {
			t.Fatal(err)
		}
	}
	return clock, news
}

func subscribeTo(t *testing.T, c *client.Client, pattern string) {
	t.Helper()
	if _, err := c.Subscribe(context.Background(), pattern, func(client.Message) {}); err != nil {
		t.Fatal(err)
	}
}
