package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"mbserver/server"
	"mbserver/server/config"
)

// options are the flags.
type options struct {
	address    string
	cert, key  string
	deflate    bool
	maxMessage int
}

// Bounds of the flags, and of the end.
const (
	messageDefault = 16 << 20 // bytes; what the largest messages of public suites have
	messageMost    = 64 << 20
	deflateMost    = 1 << 20 // larger ones come back as they are
	stopTimeout    = 2 * time.Second
)

func main() { os.Exit(run()) }

func run() int {
	var o options
	flag.StringVar(&o.address, "address", "127.0.0.1:9001",
		"host:port to listen on; port 0 takes any")
	flag.StringVar(&o.cert, "tls-cert", "", "PEM file of a certificate chain: TLS")
	flag.StringVar(&o.key, "tls-key", "", "PEM file of its key")
	flag.BoolVar(&o.deflate, "deflate", false, "agree on permessage-deflate")
	flag.IntVar(&o.maxMessage, "max-message", messageDefault,
		"bytes of the largest message, at most "+strconv.Itoa(messageMost))
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "wsecho: %q is no flag\n", flag.Arg(0))
		return 2
	}
	cfg, err := o.config()
	if err != nil {
		fmt.Fprintln(os.Stderr, "wsecho:", err)
		return 2
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	n, err := start(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		fmt.Fprintln(os.Stderr, "wsecho:", err)
		return 1
	}
	fmt.Println("listening on " + n.Addr("ws") + n.Addr("wss")) // one of them
	<-signals
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "wsecho:", err)
		return 1
	}
	return 0
}

// config is the configuration of a node that echoes.
func (o *options) config() (config.Config, error) {
	cfg := config.Default()
	cfg.Shutdown.Spread = 0 // there is no other node to go to
	host, port, err := net.SplitHostPort(o.address)
	if err != nil {
		return cfg, fmt.Errorf("--address: %w", err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return cfg, fmt.Errorf("--address: %q is no port", port)
	}
	if o.maxMessage < 1 || o.maxMessage > messageMost {
		return cfg, fmt.Errorf("--max-message: %d is not 1 to %d", o.maxMessage, messageMost)
	}
	cfg.Host, cfg.AllowUnsecure, cfg.Admin.Address = host, true, ""
	cfg.Ports = config.Ports{}
	listener := &cfg.Ports.WS
	if o.cert != "" || o.key != "" {
		listener = &cfg.Ports.WSS
		cfg.SSL = config.SSL{Cert: o.cert, Key: o.key}
	}
	if *listener = int(number); number == 0 {
		*listener = config.AnyPort
	}
	cfg.WS.Origins = []string{"*"} // suites in browsers are pages of their own
	cfg.WS.Deflate = config.Deflate{
		Enabled: o.deflate, MinBytes: 1, MaxBytes: min(o.maxMessage, deflateMost),
	}
	cfg.Message.PayloadMaxLength = o.maxMessage
	// Half a ring holds a message that comes back, the other half one that was on its way.
	cfg.Connection.OutboundBytes = max(cfg.Connection.OutboundBytes, 2*cfg.MaxFrame())
	cfg.Memory.Limit = max(cfg.Memory.Limit, 8*int64(cfg.Connection.OutboundBytes))
	return cfg, nil
}

// start runs a node that echoes.
func start(cfg config.Config, log *slog.Logger) (*server.Node, error) {
	n, err := server.New(cfg, server.Options{Logger: log, Echo: true})
	if err != nil {
		return nil, err
	}
	return n, n.Start()
}
