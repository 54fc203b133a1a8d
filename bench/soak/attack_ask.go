//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Attacks by requests and by those who should answer them.

// hour is the timeout of requests that stand for long, in milliseconds.
const hour = "3600000"

// service keeps n services on pattern, which answer in the given manner.
func (a *army) service(n int, pattern, more string, answer bool) {
	a.crew(n, func(i int) error {
		c, err := a.join(i, false, subscribe, subscription("request", pattern, more))
		if err != nil {
			return err
		}
		defer c.Close()
		if answer {
			return serve(nil, c)
		}
		return c.drain()
	})
}

func requests(a *army) {
	a.service(1, "k10", "", true)
	a.flood(15, 0, func(int) (string, string) { return "request:k10:1.0.0", "work" })
}

func silentService(a *army) {
	a.service(4, "k11", "", false)
	a.crew(8, func(i int) error {
		c, err := a.join(i, false)
		if err != nil {
			return err
		}
		go func() { _ = c.drain() }()
		for n := range 200 {
			id := uuid(2000+i, n)
			if err := c.send("request:k11:1.0.0:"+id+"::"+hour, "never"); err != nil {
				return err
			}
		}
		return a.hold(c)
	})
}

func outstanding(a *army) {
	a.service(8, "k12", "", false)
	a.talkers(8, func(i int, c *client) error {
		piece := c.many(batch, func(n int) (string, string) {
			return "request:k12:1.0.0:" + uuid(3000+i, n) + "::" + hour, "never"
		})
		return c.pump(piece, a.paced(20))
	})
}

func routes(a *army) {
	pattern := "#"
	if a.share > 1 { // Who serves everything would take the others' requests away from them.
		pattern = "k13.#"
	}
	a.service(a.few(4000), pattern, "", false)
	a.talkers(4, func(i int, c *client) error {
		for n, wait := 0, a.paced(1000); wait(); n++ {
			header := fmt.Sprintf("request:k13.t%d:1.0.0:::%s", (n*4+i)%16_384, "2000")
			if err := c.send(header, "x"); err != nil {
				return err
			}
		}
		return nil
	})
}

func waitingTopics(a *army) {
	const topics = 9000
	// It takes one, which it never answers: what else comes for its topics waits.
	a.crew(1, func(i int) error {
		c, err := a.join(i, false,
			"system.service.register", `{"name":"busy","description":"k14","maxConcurrent":1}`,
			subscribe, subscription("request", "k14.#", ""))
		if err != nil {
			return err
		}
		defer c.Close()
		return c.drain()
	})
	a.crew(1, func(i int) error { // The wildcard that comes and goes.
		c, err := a.join(i, false,
			"system.service.register", `{"name":"comes","description":"k14","maxConcurrent":1}`)
		if err != nil {
			return err
		}
		defer c.Close()
		go func() { _ = c.discard() }()
		piece := c.many(2, func(n int) (string, string) {
			if n == 0 {
				return "request:" + subscribe + ":1.0.0", subscription("request", "k14.#", "")
			}
			return "request:system.topic.unsubscribe:1.0.0", `{"topic":"k14.#","action":"request"}`
		})
		return c.pump(piece, a.paced(500))
	})
	a.crew(3, func(i int) error {
		c, err := a.join(i, false)
		if err != nil {
			return err
		}
		defer c.Close()
		go func() { _ = c.drain() }()
		for n, wait := 0, a.paced(3000); wait(); n++ {
			id := uuid(4000+i, n)
			header := fmt.Sprintf("request:k14.t%d:1.0.0:%s::5000", (n*3+i)%topics, id)
			if err := c.send(header, "x"); err != nil {
				return err
			}
		}
		return nil
	})
}

func priorities(a *army) {
	a.crew(a.few(1500), func(i int) error {
		priority := func(n int) string { return fmt.Sprintf(`,"priority":%d`, n) }
		c, err := a.join(i, false, subscribe, subscription("request", "k15", priority(i)))
		if err != nil {
			return err
		}
		defer c.Close()
		go func() { _ = c.drain() }()
		for n, wait := i, a.paced(5); wait(); n += 7919 {
			payload := subscription("request", "k15", priority(n%1_000_003))
			if err := c.send("request:"+subscribe+":1.0.0", payload); err != nil {
				return err
			}
		}
		return nil
	})
	a.talkers(2, func(i int, c *client) error {
		// One at a time: each finds other priorities than the last.
		piece := c.many(1, func(int) (string, string) { return "request:k15:1.0.0", "x" })
		return c.pump(piece, a.paced(2000))
	})
}

func stalledService(a *army) {
	a.crew(4, func(i int) error {
		c, err := a.join(i, true, subscribe, subscription("request", "k16", ""))
		if err != nil {
			return err
		}
		return a.hold(c)
	})
	body := strings.Repeat("x", 16<<10)
	a.talkers(20, func(i int, c *client) error {
		piece := c.many(4, func(n int) (string, string) {
			return "request:k16:1.0.0:" + uuid(5000+i, n) + "::" + hour, body
		})
		return c.pump(piece, a.paced(50))
	})
}

// halfClosed sends requests and the end of the stream, and reads what is still answered: answers of
// a service that is quick enough have to come.
func halfClosed(a *army) {
	a.crew(1, func(i int) error {
		c, err := a.join(i, false, subscribe, subscription("request", "k17", ""))
		if err != nil {
			return err
		}
		defer c.Close()
		for {
			m, err := c.read()
			if err != nil {
				return err
			}
			if m.action == "request" {
				id := m.id
				time.AfterFunc(100*time.Millisecond, func() {
					_ = c.send("response:k17:1.0.0:"+id, "late") // Who asked may be gone.
				})
			}
		}
	})
	a.crew(a.few(200), func(i int) error {
		c, err := a.joinAs(manner{})
		if err != nil {
			return err
		}
		defer c.Close()
		const asked = 10
		for n := range asked {
			if err := c.send("request:k17:1.0.0:"+uuid(6000+i, n), "x"); err != nil {
				return err
			}
		}
		if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			return err
		}
		c.mute = true // What asks for a heartbeat may be on its way.
		asks := time.Now()
		_ = c.SetReadDeadline(asks.Add(patience))
		answered, how := 0, "ended"
		for { // Until the node has said all.
			m, err := c.read()
			switch {
			case err == nil:
			case os.IsTimeout(err):
				how = "silent"
			case !errors.Is(err, io.EOF):
				how = "reset"
			}
			if err != nil {
				break
			}
			if m.action == "response" {
				answered++
			}
		}
		if answered == 0 && a.goOn() {
			a.wrong(fmt.Sprintf("half-closed, %s after %d s", how,
				time.Since(asks)/time.Second))
		}
		return nil
	})
	a.crew(a.few(100), func(i int) error { // One large message, slowly.
		c, err := a.joinAs(manner{})
		if err != nil {
			return err
		}
		defer c.Close()
		go func() { _ = c.discard() }()
		frame := appendFrame(nil, false, "publish:k17.slow:1.0.0", strings.Repeat("x", 16_000))
		for wait := a.paced(20 * a.share); len(frame) > 0 && wait(); {
			n, err := c.Write(frame[:min(100, len(frame))])
			if err != nil {
				return err
			}
			frame = frame[n:]
		}
		return nil
	})
}
