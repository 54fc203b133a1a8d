package broker

import (
	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/metrics"
)

// Permessage-deflate (protocol §1, ws.deflate): messages to and from connections that have agreed
// on it.
//
// Purpose. Who compresses pays for it with its own turns; nobody else does.
//
// Outline. Such connections take a wire form of their own, in which a message is encoded once for
// all of a loop that get it, compressed or plain (encodeDeflate): parcels between loops carry it
// plain. So a loop pays only for its own connections, several compress the same message at the
// same time, and who reads the parcel otherwise (TCP, WebSocket, the audit) finds it as it is. A
// compressed message that came is inflated in steps (inflate), between which the loop may do
// something else.
//
// Invariants. A compressed frame is never larger than the plain one. It lies in the turn's frames
// whole, whatever its size, so no body is referred to.
//
// Cost. Compressing takes about 3 µs and 1.5 ns for each byte, at most bounds.deflateMax of them;
// a step of inflating at most about a quantum, mostly some microseconds. Both are work of the turn.
type deflating struct {
	deflater  codec.Deflater
	inflaters codec.Inflaters
	deflate   metrics.Deflate // any goroutine reads it
	outs, ins uint32          // how often it was compressed and inflated, for what is measured
}

const (
	// deflateMeasured is how many compressions, and steps of inflating, one stands for whose time
	// is taken: looking at the clock twice takes a few hundredths of the shortest.
	deflateMeasured = 16

	// What it takes in deliveries: to compress a message, and one more for each deflateUnit bytes;
	// a step of inflating, and one more for each inflateUnit bytes that it makes and readUnit that
	// it reads.
	deflateWork = 48
	deflateUnit = 32
	inflateWork = 16
	inflateUnit = 64
	readUnit    = 8
)

// encodeDeflate is encode for the form of those who take compressed messages; p is what compresses
// m, from deflated.
func (l *Loop) encodeDeflate(in int, m *outgoing, p []byte, flags ringbuf.Flags) ringbuf.Frame {
	g := &l.turn.Frames[in]
	start := len(g.B)
	kind := codec.Binary
	if m.text {
		kind = codec.Text
	}
	g.B = append(codec.AppendWSDeflateHeader(g.B, kind, len(p)), p...)
	f := g.Commit(start, flags, m.key)
	if m.mark != 0 {
		l.tag(f, m.mark)
	}
	return f
}

// deflated returns m compressed, valid until the next call; nil: it is to leave as it is, because
// it is too small or too large, or did not become smaller.
func (l *Loop) deflated(m *outgoing) []byte {
	b := l.broker
	n := len(m.header) + len(m.payload)
	if n < b.deflateMin || n > b.deflateMax {
		return nil
	}
	measured, from := l.outs%deflateMeasured == 0, int64(0)
	if l.outs++; measured {
		from = l.driver.Now().Ns
	}
	p, smaller := l.deflater.Deflate(m.header, m.payload)
	if measured {
		l.deflate.Out.Ns.Add(uint64(l.driver.Now().Ns-from) * deflateMeasured)
	}
	l.spend(deflateWork + n/deflateUnit)
	if !smaller {
		l.deflate.Kept.Add(1)
		return nil
	}
	l.deflate.Out.Messages.Add(1)
	l.deflate.Out.Plain.Add(uint64(n))
	l.deflate.Out.Compressed.Add(uint64(len(p)))
	return p
}

// inflating is a decoder that has said Compressed.
type inflating interface {
	Inflate() (read, made int)
}

// inflate does one step of what c's decoder has to do for a message.
func (c *Conn) inflate() {
	l := c.loop
	measured, from := l.ins%deflateMeasured == 0, int64(0)
	if l.ins++; measured {
		from = l.driver.Now().Ns
	}
	read, made := c.dec.(inflating).Inflate()
	if measured {
		l.deflate.In.Ns.Add(uint64(l.driver.Now().Ns-from) * deflateMeasured)
	}
	l.spend(inflateWork + made/inflateUnit + read/readUnit)
	l.checkClock() // what a step takes depends more on what it reads than on how much
}

// noteInflated publishes what the loop's inflaters have counted.
func (l *Loop) noteInflated() {
	s := &l.inflaters
	if done := s.Messages + s.Failed; done == l.deflate.In.Messages.Load()+l.deflate.Failed.Load() {
		return
	}
	l.deflate.In.Messages.Store(s.Messages)
	l.deflate.In.Plain.Store(s.Made)
	l.deflate.In.Compressed.Store(s.Read)
	l.deflate.Failed.Store(s.Failed)
}
