//go:build linux

package bench

import (
	"bytes"
	"fmt"
)

// upgrader is a wire that upgrades to WebSocket before its hello.
type upgrader interface {
	upgrade() []byte
	// upgraded reports whether in begins with the whole head of the answer. The error says why
	// nothing will come of it, whatever follows.
	upgraded(in []byte) (done bool, err error)
}

// framedWire carries the protocol of a peer in WebSocket frames. Servers put several messages, or
// parts of them, into one frame, so what counts are the bytes inside.
type framedWire struct {
	inner  wire
	binary bool // frames, not text
	// perFrame is added for each frame: 1 where messages in a frame are separated, not ended, by
	// one byte.
	perFrame int64
}

func (framedWire) upgrade() []byte { return []byte(upgrade) }

func (framedWire) upgraded(in []byte) (done bool, err error) {
	// NATS speaks first: its greeting may come with the upgrade.
	head, _, whole := bytes.Cut(in, []byte("\r\n\r\n"))
	if whole && !bytes.HasPrefix(head, []byte("HTTP/1.1 101")) {
		status, _, _ := bytes.Cut(head, []byte("\r\n"))
		return false, fmt.Errorf("the server answered %q", status[:min(len(status), 80)])
	}
	return whole, nil
}

func (w framedWire) hello(r role, topic string, slot, frame int) []byte {
	return w.frame(nil, w.inner.hello(r, topic, slot, frame))
}

func (w framedWire) frame(dst, message []byte) []byte {
	if message == nil {
		return nil
	}
	begin := len(dst)
	dst = mbWire{ws: true}.appendFrame(dst, message)
	if w.binary {
		dst[begin]++ // text (1) to binary (2)
	}
	return dst
}

// content is what whole frames in in carry.
func (framedWire) content(in []byte) []byte {
	var out []byte
	for {
		head, size, ok := wsHead(in)
		if !ok || len(in) < head+size {
			return out
		}
		out = append(out, in[head:head+size]...)
		in = in[head+size:]
	}
}

func (w framedWire) welcomed(in []byte) bool { return w.inner.welcomed(w.content(in)) }

func (w framedWire) subscribe(r role, pattern string, slot int) []byte {
	return w.frame(nil, w.inner.subscribe(r, pattern, slot))
}

func (w framedWire) subscribed(in []byte) bool { return w.inner.subscribed(w.content(in)) }

func (w framedWire) appendPublish(dst []byte, topic string, payload []byte) []byte {
	return w.frame(dst, w.inner.appendPublish(nil, topic, payload))
}

func (w framedWire) delivered(topic string, payload int) int {
	return w.inner.delivered(topic, payload)
}

// tally counts bytes inside of frames.
func (w framedWire) tally(c *conn, in []byte) (total int64, err error) {
	for len(in) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(in))
			c.skip -= n
			total += int64(n)
			in = in[n:]
			continue
		}
		kept := len(c.head)
		c.head = append(c.head, in[:min(10-kept, len(in))]...)
		head, size, ok := wsHead(c.head)
		if !ok {
			return total, nil // the head goes on in the next read
		}
		in = in[head-kept:]
		c.head = c.head[:0]
		c.skip = size
		total += w.perFrame
	}
	return total, nil
}

// centrifugeWire is Centrifuge's JSON protocol, inside of frames.
type centrifugeWire struct{}

func (centrifugeWire) hello(role, string, int, int) []byte {
	return []byte(`{"id":1,"connect":{}}`)
}

func (centrifugeWire) welcomed(in []byte) bool {
	return bytes.Contains(in, []byte(`"connect":{`))
}

func (centrifugeWire) subscribe(r role, pattern string, _ int) []byte {
	if r == publisher {
		return nil
	}
	return fmt.Appendf(nil, `{"id":1,"subscribe":{"channel":%q}}`, pattern)
}

func (centrifugeWire) subscribed(in []byte) bool {
	return bytes.Contains(in, []byte(`"subscribe":{`))
}

func (centrifugeWire) appendPublish(dst []byte, topic string, payload []byte) []byte {
	return fmt.Appendf(dst, `{"id":1,"publish":{"channel":%q,"data":%q}}`, topic, payload)
}

// delivered: the push and a newline between it and the next.
func (centrifugeWire) delivered(topic string, payload int) int {
	return len(`{"push":{"channel":"`) + len(topic) +
		len(`","pub":{"data":"`) + payload + len(`"}}}`) + 1
}
