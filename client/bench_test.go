package client

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"mbserver/codec"
)

// wire is a connection without a kernel: what is written is answered or thrown
// away, what is read was put into in. The benchmarks measure the client alone.
type wire struct {
	in      chan []byte
	rest    []byte
	answer  func(id []byte) []byte // nil: nothing is answered
	decoder codec.Decoder
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.rest) == 0 {
		var open bool
		if w.rest, open = <-w.in; !open {
			return 0, io.EOF
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

func (w *wire) Write(p []byte) (int, error) {
	var answers []byte
	for in := p; w.answer != nil; {
		m, rest, err := w.decoder.Next(in)
		if err != nil || m.Kind == codec.None {
			break
		}
		if h, _, err := codec.ParseHeader(m.Data, maxTimeoutMs); err == nil {
			answers = append(answers, w.answer(h.RequestID)...)
		}
		in = rest
	}
	if len(answers) > 0 {
		w.in <- answers
	}
	return len(p), nil
}

func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (w *wire) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (w *wire) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (w *wire) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (w *wire) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

func benchFrame(header string, payload []byte) []byte {
	msg := append(append([]byte(header), '\n'), payload...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...)
}

// benchClient is connected over a wire.
func benchClient(b *testing.B, answer func(id []byte) []byte) (*Client, *wire) {
	b.Helper()
	w := &wire{in: make(chan []byte, 16), answer: answer, decoder: codec.NewTCPDecoder(1 << 20)}
	w.in <- benchFrame("publish:system.initialize:1.0.0", []byte(`{}`))
	c, err := Dial(context.Background(), "tcp://wire:1", WithKeepAlive(0), WithoutReconnect(),
		WithDialer(func(context.Context, string, string) (net.Conn, error) { return w, nil }))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		close(w.in)
		<-c.Done()
		_ = c.Close() // It never fails.
	})
	return c, w
}

const benchID = "00000000-0000-4000-8000-000000000000"

// Messages of 128 bytes that arrive, from the bytes to the callback.
func BenchmarkReceive(b *testing.B) {
	own := func(*subscribeFields) {}
	for name, option := range map[string]SubOption{
		"owned": own, "borrowed": WithBorrowedPayload(),
	} {
		b.Run(name, func(b *testing.B) {
			success := func(id []byte) []byte {
				return benchFrame("response:system.topic.subscribe:1.0.0:"+string(id), []byte(`{}`))
			}
			c, w := benchClient(b, success)
			done, seen := make(chan struct{}), 0
			_, err := c.Subscribe(context.Background(), "a.b", func(Message) {
				if seen++; seen == b.N {
					close(done)
				}
			}, option)
			if err != nil {
				b.Fatal(err)
			}
			one := benchFrame("publish:a.b:1.0.0:"+benchID, make([]byte, 128))
			var chunk []byte
			for range 300 {
				chunk = append(chunk, one...)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for left := b.N; left > 0; {
				n := min(left, 300)
				w.in <- chunk[:n*len(one)]
				left -= n
			}
			<-done
			b.StopTimer()
		})
	}
}

// Publishes of 128 bytes without acknowledgement, to the writer.
func BenchmarkPublish(b *testing.B) {
	c, _ := benchClient(b, nil)
	payload := make([]byte, 128)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Publish(context.Background(), "a.b", payload); err != nil {
			b.Fatal(err)
		}
	}
}

// Acknowledged publishes, 64 in flight.
func BenchmarkPublishAsync(b *testing.B) {
	c, _ := benchClient(b, func(id []byte) []byte {
		return benchFrame("response:a.b:1.0.0:"+string(id), []byte(`{"subscribers":1}`))
	})
	payload := make([]byte, 128)
	var window [64]Pending
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		slot := &window[n%len(window)]
		if n++; n > len(window) {
			if _, err := slot.Wait(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
		var err error
		if *slot, err = c.PublishAsync(context.Background(), "a.b", payload); err != nil {
			b.Fatal(err)
		}
	}
	for i := range min(n, len(window)) {
		if _, err := window[i].Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// Requests, one at a time.
func BenchmarkRequest(b *testing.B) {
	c, _ := benchClient(b, func(id []byte) []byte {
		return benchFrame(fmt.Sprintf("response:a.b:1.0.0:%s", id), []byte(`{"answer":1}`))
	})
	payload := make([]byte, 128)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Request(context.Background(), "a.b", payload); err != nil {
			b.Fatal(err)
		}
	}
}
