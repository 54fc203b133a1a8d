// Command centrifuge runs a server made with the Centrifuge library for the benchmark: JSON over
// WebSocket, anybody may subscribe and publish, no pings, which the generator would have to tell
// from messages. With -redis it is one of several nodes over a Redis.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/centrifugal/centrifuge"
)

func main() {
	port := flag.Int("ws", 8000, "WebSocket port")
	cert := flag.String("cert", "", "certificate file, empty: no TLS")
	key := flag.String("key", "", "key file")
	deflate := flag.Bool("deflate", false, "permessage-deflate")
	redis := flag.String("redis", "", "`HOST:PORT` of a Redis, empty: a node alone")
	flag.Parse()
	if err := run(*port, *cert, *key, *deflate, *redis); err != nil {
		fmt.Fprintln(os.Stderr, "centrifuge:", err)
		os.Exit(1)
	}
}

func run(port int, cert, key string, deflate bool, redis string) error {
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: 64 << 20})
	if err != nil {
		return err
	}
	node.OnConnecting(admit)
	node.OnConnect(func(c *centrifuge.Client) {
		c.OnSubscribe(func(_ centrifuge.SubscribeEvent, cb centrifuge.SubscribeCallback) {
			cb(centrifuge.SubscribeReply{}, nil)
		})
		c.OnPublish(func(e centrifuge.PublishEvent, cb centrifuge.PublishCallback) {
			// Without the publisher's identity, so that all frames have one length.
			result, err := node.Publish(e.Channel, e.Data)
			cb(centrifuge.PublishReply{Result: &result}, err)
		})
	})
	if redis != "" {
		if err := over(node, redis); err != nil {
			return err
		}
	}
	if err := node.Run(); err != nil {
		return err
	}
	http.Handle("/", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin: func(*http.Request) bool { return true }, MessageSizeLimit: 1 << 20,
		// What is sent to many is compressed once, as long as the cache has it.
		Compression: deflate, CompressionLevel: 1, CompressionPreparedMessageCacheSize: 16 << 20,
		PingPongConfig: centrifuge.PingPongConfig{
			PingInterval: 24 * time.Hour, PongTimeout: time.Minute,
		},
	}))
	s := &http.Server{Addr: fmt.Sprintf("127.0.0.1:%d", port), ReadHeaderTimeout: time.Minute}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { _ = s.Close() }) // The process ends.
	serve := s.ListenAndServe
	if cert != "" {
		serve = func() error { return s.ListenAndServeTLS(cert, key) }
	}
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// over makes a node one of those that share a Redis.
func over(node *centrifuge.Node, redis string) error {
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: redis})
	if err != nil {
		return err
	}
	shards := []*centrifuge.RedisShard{shard}
	broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: shards})
	if err != nil {
		return err
	}
	node.SetBroker(broker)
	return nil
}

// admit lets everybody in.
func admit(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
	return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
}
