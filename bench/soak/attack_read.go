//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"
)

// Attacks by those who subscribe and read badly.

const subscribe = "system.topic.subscribe"

// batch is how many messages an attacker at full speed writes at once.
const batch = 512

// stall is a subscriber that reads nothing.
func (a *army) stall(n int, pattern, more string) {
	a.crew(n, func(i int) error {
		c, err := a.join(i, true, subscribe, subscription("publish", pattern, more))
		if err != nil {
			return err
		}
		return a.hold(c)
	})
}

// flood publishes pieces as fast as they are taken, from n connections that read what comes back.
func (a *army) flood(n, perSecond int, each func(i int) (header, payload string)) {
	a.talkers(n, func(i int, c *client) error {
		piece := c.many(batch, each)
		wait := a.goOn
		if perSecond > 0 {
			wait = a.paced(max(1, perSecond/batch))
		}
		return c.pump(piece, wait)
	})
}

func conflate(a *army) {
	a.stall(4, "k1.#", `,"conflate":true`)
	a.talkers(2, func(i int, c *client) error {
		large := strings.Repeat("x", 3900)
		for n, wait := 0, a.paced(5000); wait(); n++ {
			piece := c.many(5, func(k int) (string, string) {
				if k == 0 {
					return fmt.Sprintf("publish:k1.p%d:1.0.0", n%20_000), "1"
				}
				return fmt.Sprintf("publish:k1.x%d:1.0.0", k), large
			})
			if _, err := c.Write(piece); err != nil {
				return err
			}
		}
		return nil
	})
}

func oldest(a *army) {
	a.crew(2, func(i int) error {
		c, err := a.join(i, true, subscribe,
			subscription("publish", "k2.#", `,"overflow":"drop-oldest"`))
		if err != nil {
			return err
		}
		defer c.Close()
		for wait := a.paced(3000); wait(); {
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			if err := c.send("request:system.heartbeat:1.0.0:"+uuid(3, i), "{}"); err != nil {
				return err
			}
		}
		return nil
	})
	body := strings.Repeat("x", 3900)
	a.talkers(2, func(i int, c *client) error { // Few: answers are to stand among them.
		piece := c.many(4, func(int) (string, string) { return "publish:k2.t:1.0.0", body })
		return c.pump(piece, a.paced(3000))
	})
}

func leavers(a *army) {
	a.crew(a.few(100), func(i int) error {
		policy := [...]string{"drop", "drop-oldest", "disconnect"}[i%3]
		c, err := a.join(i, true, subscribe,
			subscription("publish", "k3.#", fmt.Sprintf(`,"overflow":%q`, policy)))
		if err != nil {
			return err
		}
		time.Sleep(time.Second) // Meanwhile its ring fills.
		a.reset(c)
		return nil
	})
	body := strings.Repeat("x", 1000)
	a.flood(2, 20_000, func(int) (string, string) { return "publish:k3.a:1.0.0", body })
}

func fan(a *army) {
	a.crew(a.few(1000), func(i int) error {
		c, err := a.join(i, false, subscribe, subscription("publish", "k4", ""))
		if err != nil {
			return err
		}
		defer c.Close()
		return c.drain()
	})
	a.flood(1, 0, func(int) (string, string) { return "publish:k4:1.0.0", "" })
}

func fanStalled(a *army) {
	a.stall(a.few(1000), "k5", "")
	a.flood(1, 0, func(int) (string, string) { return "publish:k5:1.0.0", "" })
	a.flood(1, 0, func(int) (string, string) { return "publish:k5:1.0.0", "some bytes" })
}

func large(a *army) {
	a.stall(a.few(200), "k6.#", "")
	a.crew(a.few(100), func(i int) error { // Slow ones.
		c, err := a.join(i, true, subscribe, subscription("publish", "k6.a", ""))
		if err != nil {
			return err
		}
		defer c.Close()
		buf := make([]byte, 2<<10)
		for wait := a.paced(10); wait(); {
			if _, err := c.Read(buf); err != nil {
				return err
			}
		}
		return nil
	})
	body := strings.Repeat("x", 16<<10)
	a.talkers(2, func(i int, c *client) error {
		piece := c.many(8, func(int) (string, string) { return "publish:k6.a:1.0.0", body })
		return c.pump(piece, a.paced(100))
	})
}

func audit(a *army) {
	const topic = "system.message"
	a.stall(4, topic, "")
	a.crew(2, func(i int) error {
		c, err := a.join(i, false, subscribe, subscription("publish", topic, ""))
		if err != nil {
			return err
		}
		defer c.Close()
		return c.drain()
	})
	a.flood(2, 50_000, func(int) (string, string) { return "publish:k7:1.0.0", "unrouted" })
}

func notices(a *army) {
	a.listeners(a.few(200),
		subscribe, subscription("publish", "system.topic.subscribe", ""),
		subscribe, subscription("publish", "system.topic.unsubscribe", ""))
	a.flood(1, 0, func(i int) (string, string) {
		if i%2 == 0 {
			return "request:" + subscribe + ":1.0.0", subscription("publish", "k8.a", "")
		}
		return "request:system.topic.unsubscribe:1.0.0", `{"topic":"k8.a"}`
	})
}
