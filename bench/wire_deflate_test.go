//go:build linux

package bench

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mbserver/codec"
)

// compressed is a frame as a server sends it that compresses.
func compressed(t interface{ Fatal(...any) }, message string) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err == nil {
		_, err = io.WriteString(w, message)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	p := bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
	return append(codec.AppendWSDeflateHeader(nil, codec.Text, len(p)), p...)
}

// However frames are cut, compressed or not, the worth of what arrived is the same.
func TestDeflateTally(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perFrame := rapid.Int64Range(0, 1).Draw(t, "separator")
		w := newDeflateWire(framedWire{inner: centrifugeWire{}, perFrame: perFrame})
		messages := 0
		var stream []byte
		for _, n := range rapid.SliceOfN(rapid.IntRange(-4, 9), 1, 20).Draw(t, "frames") {
			plain := n < 0
			n = max(n, -n, 1)
			content := bytes.Repeat(append(payloadOf(400), '\n'), n)
			text := string(content[:len(content)-int(perFrame)])
			if plain {
				stream = append(stream, fromServer(true, text)...)
			} else {
				stream = append(stream, compressed(t, text)...)
			}
			messages += n
		}
		c, total := &conn{}, int64(0)
		for len(stream) > 0 {
			n := rapid.IntRange(1, len(stream)).Draw(t, "read")
			worth, err := w.tally(c, stream[:n])
			if err != nil {
				t.Fatal(err)
			}
			total += worth
			stream = stream[n:]
		}
		if total != int64(messages)*401 {
			t.Fatalf("%d bytes for %d messages of 401", total, messages)
		}
	})
}

// What cannot be inflated, and what is worth another than it was, is an error.
func TestDeflateTallyFaults(t *testing.T) {
	w := newDeflateWire(framedWire{inner: mbInside{}})
	if _, err := w.tally(&conn{}, []byte{0xc1, 3, 0xff, 0xff, 0xff}); err == nil {
		t.Error("no DEFLATE, and no error")
	}
	frame := compressed(t, strings.Repeat("x", 300))
	head, size, _ := wsHead(frame)
	c := &conn{}
	if n, err := w.tally(c, frame); n != 300 || err != nil {
		t.Fatal(n, err)
	}
	if len(frame) != head+size || len(c.rest) != size {
		t.Fatalf("%d bytes, %d of content, %d kept", len(frame), size, len(c.rest))
	}
	w.worth[size] = 299
	for n := 1; ; n++ {
		if _, err := w.tally(c, frame); err != nil {
			break
		}
		if n > checked {
			t.Fatal("another worth, and no error")
		}
	}
}

func TestDeflateTallyDoesNotAllocate(t *testing.T) {
	w := newDeflateWire(framedWire{inner: mbInside{}})
	frames := bytes.Repeat(compressed(t, string(payloadOf(1000))), 2*checked)
	c := &conn{}
	tally := func() {
		if n, err := w.tally(c, frames); n != 2*checked*1000 || err != nil {
			t.Fatal(n, err)
		}
	}
	tally() // slices grow to their size
	if n := testing.AllocsPerRun(10, tally); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is measured is about as compressible as what devices send.
func TestPayloadCompresses(t *testing.T) {
	const n = 1000
	if size := len(compressed(t, string(payloadOf(n)))); size < n/5 || size > n/2 {
		t.Errorf("%d bytes become %d", n, size)
	}
}

// A node that does not compress is not measured as one that does; one that does is.
func TestSmokeDeflate(t *testing.T) {
	o := short(t, "fan-out/10", "lone/1", "latency")
	o.Transports, o.Payloads = []string{withDeflate}, []int{1000}
	o.Address = map[string]string{withDeflate: startNode(t, 1, nil)["ws"]}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fan-out/10", "lone/1", "latency/100"} {
		if m := r.find(name, "mb", withDeflate, 1000, metricCPU); m == nil || m.Median() <= 0 {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// A server that does not compress, or does not upgrade, is said so as soon as its answer is there.
func TestUpgradeRefused(t *testing.T) {
	compressed, plain := newDeflateWire(framedWire{inner: mbInside{}}), framedWire{}
	const offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	for _, tt := range []struct {
		w    upgrader
		in   string
		done bool
		want string // in the error
	}{
		{compressed, "HTTP/1.1 101 Switching Protocols\r\n" + offer, false, ""},
		{compressed, "HTTP/1.1 101 Switching Protocols\r\n" + offer + "\r\n", true, ""},
		{compressed, "HTTP/1.1 101 Switching Protocols\r\n\r\n" + offer, false, "declined"},
		{plain, "HTTP/1.1 101 Switching Protocols\r\n\r\n", true, ""},
		{plain, "HTTP/1.1 503 Service Unavailable\r\n", false, ""},
		{plain, "HTTP/1.1 503 Service Unavailable\r\n\r\n{}", false, `"HTTP/1.1 503 Service`},
		{compressed, "HTTP/1.1 400 Bad Request\r\n\r\n", false, "400"},
	} {
		done, err := tt.w.upgraded([]byte(tt.in))
		if done != tt.done || (err != nil) != (tt.want != "") ||
			err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, %v", tt.in, done, err)
		}
	}
}

// A run against a node that was started elsewhere and declines, or is not there, ends with an error
// that says so, and where; it waits for none that is known.
func TestServerElsewhere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1<<10))
			_, _ = c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\n\r\n"))
			_ = c.Close()
		}
	}()
	p := &process{at: place{address: listener.Addr().String()}}
	w := newDeflateWire(framedWire{inner: mbInside{}})
	if err := p.ready(context.Background(), w); !errors.Is(err, errDeclined) ||
		!strings.Contains(err.Error(), p.at.address) {
		t.Errorf("%v", err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	p.at.address = "127.0.0.1:1"
	if err := p.ready(ended, w); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if p.name() != "the server at 127.0.0.1:1" {
		t.Error(p.name())
	}
}
