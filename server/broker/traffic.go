package broker

import "sync/atomic"

// traffic is what has gone over a connection: messages, and bytes with their framing, without those
// of TLS and of a handshake. Its loop writes it once for each read and each write; any goroutine
// reads it.
type traffic struct {
	received, receivedBytes atomic.Uint64
	sent, sentBytes         atomic.Uint64
}

// beginWrite counts what waits of c's turn as sent: who has received a message finds it counted.
func (c *Conn) beginWrite() (messages, bytes int) {
	if messages, bytes = c.out.Messages(), c.out.Bytes(); bytes > 0 && !c.out.Stalled() {
		c.sent.Add(uint64(messages))
		c.sentBytes.Add(uint64(bytes))
		return 0, 0
	}
	return messages, bytes
}

// endWrite counts what of that has not been written, or, of a ring that was stalled, what has been:
// so much was left to be counted before.
func (c *Conn) endWrite(messages, bytes int) {
	if n := messages - c.out.Messages(); n != 0 {
		c.sent.Add(uint64(n))
	}
	if n := bytes - c.out.Bytes(); n != 0 {
		c.sentBytes.Add(uint64(n))
	}
}

// uncount takes frames that are about to be sent, and are no messages, out of the count; bytes of
// them too.
func (t *traffic) uncount(frames, bytes int) {
	t.sent.Add(-uint64(frames))
	t.sentBytes.Add(-uint64(bytes))
}

// shownCount is a count as others see it: what is uncounted before it is sent is not.
func shownCount(v *atomic.Uint64) uint64 { return uint64(max(int64(v.Load()), 0)) }
