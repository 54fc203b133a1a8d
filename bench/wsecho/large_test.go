package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The largest message there can be comes back whole, in one frame, in many, and in many pieces. It
// costs memory as its length, not as its square: what is allocated is a few times what was sent.
func TestLargest(t *testing.T) {
	at := startSuite(t, messageMost, plainly)
	large := strings.Repeat("0123456789abcdef", messageMost/16)
	var fragments strings.Builder
	const size = messageMost / 8
	for i := range size / 4096 {
		first := byte(more)
		if i == 0 {
			first = firstBinary
		}
		fragments.WriteString(frame(first, large[i*4096:][:4096]))
	}
	fragments.WriteString(frame(lastMore, ""))
	for _, c := range []struct{ name, in, out string }{
		{"in one frame", frame(text, large), sent(text, large)},
		{"in fragments", fragments.String(), sent(binary_, large[:size])},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := opened + c.out
			got := make([]byte, len(want))
			conn := at.dial(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			go func() { _, _ = io.WriteString(conn, head+c.in) }() // reads its failure
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
				t.Fatal("it did not come back", err)
			}
			runtime.ReadMemStats(&after)
			// By now: who says goodbye has little time to read what waits for him.
			end, goodbye := frame(closing, code(1000, "")), sent(closing, code(1000, ""))
			if _, err := io.WriteString(conn, end); err != nil {
				t.Error(err)
			}
			got = got[:len(goodbye)]
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != goodbye {
				t.Errorf("its goodbye is %q, %v", got, err)
			}
			// Buffers that double, the copy that is sent, and what is written here.
			if n := after.TotalAlloc - before.TotalAlloc; n > uint64(8*len(want)) {
				t.Errorf("%d bytes were allocated for %d", n, len(want))
			}
		})
	}
}

// Who reads nothing of what comes back is not read: the node holds no more than a ring, and hands
// back all of it as soon as it is read.
func TestUnread(t *testing.T) {
	at := startSuite(t, limit, plainly)
	const count = 60 // more than buffers hold, by far
	p := strings.Repeat("x", limit/2)
	c := at.dial(t)
	wrote := make(chan int, 1)
	go func() {
		_, _ = io.WriteString(c, head)
		for i := range count {
			if _, err := io.WriteString(c, frame(binary_, p)); err != nil {
				wrote <- i
				return
			}
		}
		wrote <- count
	}()
	select {
	case n := <-wrote:
		t.Fatalf("%d messages were taken, and nothing was read", n)
	case <-time.After(300 * time.Millisecond):
	}
	want := opened + strings.Repeat(sent(binary_, p), count)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Error("not all came back", err)
	}
	if n := <-wrote; n != count {
		t.Errorf("%d messages were taken", n)
	}
}

// Flags that no node could be started with are refused.
func TestFlags(t *testing.T) {
	for _, o := range []options{
		{address: ""}, {address: "localhost"}, {address: "localhost:x"},
		{address: "localhost:65536"},
		{address: "localhost:1", maxMessage: messageMost + 1},
		{address: "localhost:1", maxMessage: -1},
	} {
		if o.maxMessage == 0 {
			if _, err := o.config(); err == nil {
				t.Errorf("%+v passes", o)
			}
			o.maxMessage = 1
		}
		if _, err := o.config(); err == nil {
			t.Errorf("%+v passes", o)
		}
	}
	for _, n := range []int{1, messageDefault, messageMost} {
		o := options{address: "localhost:0", maxMessage: n}
		cfg, err := o.config()
		if err == nil {
			err = cfg.Validate()
		}
		if err != nil {
			t.Error(fmt.Errorf("%+v: %w", o, err))
		}
	}
}
