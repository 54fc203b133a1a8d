//go:build linux

package main

import (
	"context"
	"log/slog"
	"time"

	"mbserver/client"
)

// What the services answer: at once, and after a long time.
const (
	topicEcho = "roll.echo"
	topicLong = "roll.long"
)

// service is one that is connected to one node, past the balancers, or to any of a cluster, through
// them.
type service interface{ close() }

type goService struct{ *client.Client }

func (s goService) close() { _ = s.Close() } // It always returns nil.

// startService connects one, of the Go client or written by hand, and waits for neither.
func startService(
	ctx context.Context, address string, old bool, long time.Duration, book *ledger,
) (service, error) {
	if old {
		return oldService(address, long, book), nil
	}
	// A service is to be back before the balancer sends its node new connections.
	c, err := client.Dial(ctx, "tcp://"+address,
		client.WithReconnect(50*time.Millisecond, 300*time.Millisecond, 0),
		client.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	serve := func(ctx context.Context, r client.Request) ([]byte, error) {
		book.serve(string(r.Payload))
		if r.Topic == topicLong {
			time.Sleep(long)
		}
		return r.Payload, nil
	}
	for _, topic := range []string{topicEcho, topicLong} {
		if _, err := c.Handle(ctx, topic, serve, client.WithConcurrency(1000)); err != nil {
			_ = c.Close() // It always returns nil.
			return nil, err
		}
	}
	return goService{c}, nil
}

// oldService knows no notice of a node that drains.
func oldService(address string, long time.Duration, book *ledger) service {
	g := &group{front: "direct", kind: "old", book: book,
		ends: make(map[string]int), refusals: make(map[string]int)}
	return startOld(&oldCaller{
		group: g, address: address,
		greeted: func(c *oldCaller) {
			for i, topic := range []string{topicEcho, topicLong} {
				c.send("request:system.topic.subscribe:1.0.0:"+uuid(0, i),
					`{"action":"request","topic":"`+topic+`"}`)
			}
		},
		serves: func(c *oldCaller, m message) {
			book.serve(string(m.payload))
			header, payload := "response:"+m.topic+":1.0.0:"+m.id, string(m.payload)
			if m.topic == topicLong {
				time.AfterFunc(long, func() { c.send(header, payload) })
			} else {
				c.send(header, payload)
			}
		},
	})
}
