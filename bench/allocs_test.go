//go:build linux && !race

package bench

import (
	"bytes"
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What runs for every message while a measurement is on must not make garbage.
func TestHotPathsDoNotAllocate(t *testing.T) {
	payload := append([]byte(inbox(1)), payloadOf(128)[inboxLen:]...)
	request := "request:a.b:1.0.0:" + requestID(1, 1) + "\n" + string(payload)
	push := ">3\r\n$7\r\nmessage\r\n$3\r\na.b\r\n$128\r\n" + string(payload) + "\r\n:1\r\n"
	for name, c := range map[string]struct {
		w  asker
		in []byte
	}{
		"mb tcp": {mbWire{}, fromServer(false, request)},
		"mb ws":  {mbWire{ws: true}, fromServer(true, request)},
		"raw":    {rawWire{}, payload},
		"nats":   {natsWire{}, []byte("MSG a.b 1 inbox000001 128\r\n" + string(payload) + "\r\n")},
		"redis":  {redisWire{}, []byte(push)},
		"mqtt":   {mqttWire{}, mqttWire{}.appendPublish(nil, "a.b", payload)},
	} {
		in, dst := bytes.Repeat(c.in, 10), make([]byte, 0, 64<<10)
		if n := testing.AllocsPerRun(100, func() {
			if out, used := c.w.answer(dst, in); used != len(in) || len(out) == 0 {
				t.Fatalf("%s: %d of %d bytes used", name, used, len(in))
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations for 10 answers", name, n)
		}
	}
}

// Neither does what TLS adds.
func TestSessionDoesNotAllocate(t *testing.T) {
	d, err := newDirection(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	s := &session{out: d, in: d, head: make([]byte, 0, recordHead)}
	burst := payloadOf(40_000)
	sealed, plain := make([]byte, 0, 64<<10), make([]byte, 0, 64<<10)
	if n := testing.AllocsPerRun(100, func() {
		sealed = s.seal(sealed[:0], burst)
		got := s.count(sealed[:100]) + s.count(sealed[100:])
		plain, err = s.open(plain[:0], sealed[:1000])
		if err == nil {
			plain, err = s.open(plain, sealed[1000:])
		}
		if err != nil || len(plain) != len(burst) || int(got) != len(burst) {
			t.Fatalf("%d of %d bytes, %d counted, %v", len(plain), len(burst), got, err)
		}
		sealed = s.sealTail(append(sealed[:0], burst...), 0)
		if plain, err = s.open(plain[:0], sealed); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// A whole round of the loop over a socket pair: publish, arrive, publish again.
func TestLoopDoesNotAllocate(t *testing.T) {
	const kind = unix.SOCK_STREAM | unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	fds, err := unix.Socketpair(unix.AF_UNIX, kind, 0)
	if err != nil {
		t.Fatal(err)
	}
	// This wire has it read, not discarded: it is not TCP.
	l, err := newLoop(context.Background(), framedWire{inner: centrifugeWire{}, perFrame: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	message := string(payloadOf(100))
	p, c := &conn{fd: fds[0], role: publisher}, &conn{fd: fds[1], role: subscriber, share: 10 * 101}
	s := &stream{
		publishers: []*conn{p}, indexes: []int32{0}, subscribers: []*conn{c},
		burst: [][]byte{bytes.Repeat(fromServer(true, message), 10)}, deliveries: 10, window: 1,
	}
	for _, c := range []*conn{p, c} {
		if err := l.add(c, true); err != nil {
			t.Fatal(err)
		}
	}
	s.begin()
	streams := []*stream{s}
	if err := l.pump(streams, time.Millisecond); err != nil { // slices grow to their size
		t.Fatal(err)
	}
	before := s.done
	if n := testing.AllocsPerRun(5, func() {
		if err := l.pump(streams, time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations in a pump", n)
	}
	if s.done <= before {
		t.Error("nothing was delivered")
	}
}
