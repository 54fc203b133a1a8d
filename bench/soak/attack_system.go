//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"
)

// Attacks by requests of the node itself.

// subscribeMany makes c subscribe n patterns, of a prefix, in pieces, while somebody reads it.
func subscribeMany(c *client, prefix string, n int, wait func() bool) error {
	for from := 0; from < n && wait(); from += batch {
		piece := c.many(min(batch, n-from), func(i int) (string, string) {
			return "request:" + subscribe + ":1.0.0",
				subscription("publish", fmt.Sprintf("%s.p%d", prefix, from+i), "")
		})
		if _, err := c.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// landlord keeps services with very many subscriptions; each runs what follows.
func (a *army) landlord(n int, prefix string, patterns int, then func(c *client) error) {
	a.crew(n, func(i int) error {
		c, err := a.join(i, false)
		if err != nil {
			return err
		}
		defer c.Close()
		read := make(chan error, 1)
		go func() { read <- c.drain() }()
		name := fmt.Sprintf("%s.s%d", prefix, i)
		if err := subscribeMany(c, name, patterns, a.paced(20_000/batch)); err != nil {
			return err
		}
		if then != nil {
			return then(c)
		}
		return <-read
	})
}

func subscriptionsAsked(a *army) {
	// It asks for its own list, which is the costliest that it may ask for.
	a.landlord(4, "k20", 100_000, func(c *client) error {
		piece := c.many(64, func(int) (string, string) {
			return "request:system.service.subscriptions:1.0.0", "{}"
		})
		return c.pump(piece, a.paced(20))
	})
}

func expressions(a *army) {
	heavy := []string{
		strings.Repeat(`(a|b){0,1000}`, 19), strings.Repeat(`(\pL?){0,1000}`, 18),
		strings.Repeat(`x{0,1000}`, 28), strings.Repeat(`(\PL|k){0,1000}`, 60),
	}
	a.talkers(4, func(i int, c *client) error {
		piece := c.many(len(heavy), func(n int) (string, string) {
			return "request:system.log.subscribe:1.0.0",
				fmt.Sprintf(`{"levels":["debug","info"],"regex":%q}`, heavy[n])
		})
		return c.pump(piece, a.paced(50))
	})
}

func lists(a *army) {
	a.landlord(10, "k21", 10_000, nil)
	a.talkers(4, func(i int, c *client) error {
		topics := []string{"system.topic.list", "system.topic.subscriptions"}
		piece := c.many(2, func(n int) (string, string) {
			return "request:" + topics[n] + ":1.0.0", "{}"
		})
		return c.pump(piece, a.paced(5))
	})
}

func heartbeatJSON(a *army) {
	const size = 1 << 20
	nested := `{"a":` + strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000) + `}`
	wide := `{"a":[` + strings.Repeat(`{"b":1},`, (size-20)/8) + `1]}`
	a.talkers(4, func(i int, c *client) error {
		piece := c.many(2, func(n int) (string, string) {
			return "request:system.heartbeat:1.0.0", [2]string{nested, wide}[n]
		})
		return c.pump(piece, a.paced(5))
	})
}

func subscribers(a *army) {
	a.talkers(5, func(i int, c *client) error {
		for range 2 { // The second time it only repeats.
			err := subscribeMany(c, fmt.Sprintf("k22.s%d", i), 100_000, a.paced(50_000/batch))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func churn(a *army) {
	a.talkers(4, func(i int, c *client) error {
		piece := c.many(batch, func(n int) (string, string) {
			pattern := fmt.Sprintf("k23.a%d.+", n/2%50)
			if n%2 == 0 {
				return "request:" + subscribe + ":1.0.0", subscription("both", pattern, "")
			}
			return "request:system.topic.unsubscribe:1.0.0", fmt.Sprintf(`{"topic":%q}`, pattern)
		})
		return c.pump(piece, a.goOn)
	})
}

func logFlood(a *army) {
	a.listeners(8, "system.log.subscribe",
		`{"levels":["debug","info","warn","error"],"regex":"(a|e|i|o|u)*(x|y|z)+.*(k|l|m)*$"}`)
	description := strings.Repeat("aeioukl", 100)
	a.flood(2, 0, func(i int) (string, string) {
		return "request:system.service.register:1.0.0",
			fmt.Sprintf(`{"name":"n%d","description":%q}`, i%2, description)
	})
}

func consoles(a *army) {
	a.crew(a.few(5000), func(i int) error {
		c, err := a.join(i, false, "system.service.register",
			fmt.Sprintf(`{"name":"s%d","description":"one of many, in some words"}`, i))
		if err != nil {
			return err
		}
		defer c.Close()
		return c.drain()
	})
	ask := [][2]string{
		{"system.metrics", `{"showAll":true}`}, {"system.service.list", "{}"},
		{"system.topic.subscriptions", "{}"},
	}
	a.crew(8, func(i int) error {
		c, err := a.join(i, i%4 == 3)
		if err != nil {
			return err
		}
		defer c.Close()
		if i%4 == 3 { // A slow one.
			go func() {
				buf := make([]byte, 8<<10)
				for a.goOn() {
					time.Sleep(20 * time.Millisecond) // Its pace.
					if _, err := c.Read(buf); err != nil {
						return
					}
				}
			}()
		} else {
			go func() { _ = c.discard() }()
		}
		piece := c.many(len(ask), func(n int) (string, string) {
			return "request:" + ask[n][0] + ":1.0.0", ask[n][1]
		})
		err = c.pump(piece, a.paced(2))
		if err != nil && i%4 != 3 {
			a.wrong("consoles")
		}
		return err
	})
}
