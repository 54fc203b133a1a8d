package codec

import (
	"bytes"
	stdflate "compress/flate"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"
)

// referenceInflate does what RFC 7692 §7.2.2 says with the standard library. ok is false when that
// is not a message of at most most bytes.
func referenceInflate(payload []byte, most int) (message []byte, ok bool) {
	if len(payload) == 0 {
		return nil, true
	}
	source := bytes.NewReader(append(bytes.Clone(payload), inflateTail...))
	for {
		window := message[max(0, len(message)-windowLen):]
		p, err := io.ReadAll(io.LimitReader(stdflate.NewReaderDict(source, window), int64(most+1)))
		message = append(message, p...)
		if err != nil || len(message) > most {
			return nil, false
		}
		switch source.Len() {
		case 0, len(lastBlock), len(inflateTail):
			return message, true
		}
	}
}

// FuzzInflate holds the decoder to the standard library, whatever the payload and however it is cut
// into frames and reads.
func FuzzInflate(f *testing.F) {
	for _, p := range []string{hello, helloStored, helloFinal, helloTwo, "\x00", "", cutOff,
		hello + cutOff, blocks().codesOnly().fixed(1, "a").pad().stored(0, "b").end(),
		blocks().stored(1, "abc").match(3).end(), blocks().stored(1, noise[:300]).whole(),
		deflated(f, 9, big), deflated(f, 1, noise), deflated(f, 6, big+"x"),
		deflated(f, 6, strings.Repeat("\x00", 100_000))} {
		f.Add([]byte(p), uint64(1), true)
		f.Add([]byte(p), uint64(len(p)), false)
	}
	f.Fuzz(func(t *testing.T, payload []byte, seed uint64, text bool) {
		first := byte(0x42)
		if text {
			first = 0x41
		}
		at := min(int(seed%1024), len(payload))
		stream := cat(frame(first, string(payload[:at])), frame(0x89, "ping"),
			frame(0x80, string(payload[at:])), frame(0x81, "next"))
		got := drain(t, newDeflateDecoder(), stream, whole)
		want, ok := referenceInflate(payload, testMaxFrame)
		kind := map[bool]string{true: "text ", false: "binary "}[text]
		switch {
		case got[0] != "ping ping" && strings.HasPrefix(got[0], "error 1009"):
			if at <= testMaxFrame+testMaxFrame/8+64 {
				t.Errorf("%q for a first frame of %d bytes", got, at)
			}
			return
		case len(payload) > testMaxFrame+testMaxFrame/8+64:
			ok = false
		}
		if ok && text && !utf8.Valid(want) {
			ok = false
		}
		if ok != (len(got) == 3) || ok && got[1] != kind+string(want) {
			t.Errorf("%q, want %v %q", got, ok, want)
		}
		sameInAnyCut(t, stream, seed, newDeflateDecoder)
	})
}

// steps inflates one message and returns the most that a step read and made, and how many there
// were.
func steps(t *testing.T, d *WSDeflateDecoder, stream []byte) (read, made, count int, err error) {
	t.Helper()
	for in := stream; ; {
		m, rest, bad := d.Next(in)
		switch {
		case bad != nil:
			return read, made, count, bad
		case m.Kind == Compressed:
			r, n := d.Inflate()
			read, made, count = max(read, r), max(made, n), count+1
			held := d.Buffered() - inflaterBytes - len(stream) - 2*len(inflateTail)
			if n := filled(d.work.made); held > max(2*n, 4*len(stream), 128)+len(stream)/2 {
				t.Fatalf("%d bytes held beside %d of %d", held, n, len(stream))
			}
			if len(rest) != 1 {
				t.Fatalf("%d bytes left over", len(rest))
			}
		case m.Kind != None:
			return read, made, count, nil
		}
		in = rest
	}
}

// However little a message inflates to, or much, and however it is made: no step takes long.
func TestInflateSteps(t *testing.T) {
	const limit = 4 << 20
	codes, long := blocks(), noiseOf(300_000)
	for len(codes.b) < 300_000 {
		codes.codesOnly()
	}
	finals := strings.Repeat(blocks().fixed(1, "").whole(), 20_000)
	for _, c := range []struct {
		name, payload string
		most          uint16 // close code; 0: it is a message
		least         int    // steps
	}{
		{"small", hello, 0, 1},
		{"zeros", deflated(t, 9, strings.Repeat("\x00", limit)), 0, limit / (64 << 10)},
		{"bomb", deflated(t, 9, strings.Repeat("\x00", 100<<20)), CloseTooLarge, 64},
		{"noise", deflated(t, 6, long), 0, 2},
		{"stored", deflated(t, 0, long), 0, 300_000 / (64 << 10)},
		{"codes that say nothing", codes.end(), 0, 300_000 / (2 * stepRead)},
		{"empty blocks", strings.Repeat("\x00"+cutOff, 60_000) + "\x00", 0,
			300_000 / (2 * stepRead)},
		{"last blocks", finals + "\x00", 0, 20_000},
		{"last blocks with a window",
			deflated(t, 1, strings.Repeat("abc", 20_000)) + cutOff + finals + "\x00", 0, 20_000},
		{"cut", deflated(t, 6, long)[:200_000], CloseInvalidData, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			pool := new(Inflaters)
			d := NewWSDeflateDecoder(limit, false, pool)
			read, made, count, err := steps(t, d, frame(0xc2, c.payload))
			code := uint16(0)
			if bad, ok := err.(*FrameError); ok {
				code = bad.CloseCode
			}
			if code != c.most || count < c.least ||
				read > stepRead+stepRead/2 || made > 2*stepMade {
				t.Errorf("%v after %d steps, which read %d and made %d", err, count, read, made)
			}
			d.Release()
			if d.Buffered() != 0 || len(pool.spare) > 1 {
				t.Errorf("%d held, %d spare", d.Buffered(), len(pool.spare))
			}
		})
	}
}

// Who leaves while a large message is inflated leaves no coroutine.
func TestInflateAbandoned(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	pool := new(Inflaters)
	in := frame(0xc2, deflated(t, 6, noiseOf(300_000)))
	var ds []*WSDeflateDecoder
	for range 20 {
		d := NewWSDeflateDecoder(1<<20, false, pool)
		_, _, _ = d.Next(bytes.Clone(in))
		for range len(ds) % 4 { // none, or some steps
			d.Inflate()
		}
		ds = append(ds, d)
	}
	for _, d := range ds {
		d.Release()
		d.Release()
		if d.Buffered() != 0 {
			t.Error(d.Buffered(), "held")
		}
	}
	if len(pool.spare) > inflatersKeep {
		t.Errorf("%d inflaters are kept", len(pool.spare))
	}
}

// Inflaters belong to who inflates at the moment: a thousand connections take one.
func TestInflatersAreShared(t *testing.T) {
	pool := new(Inflaters)
	in := frame(0xc1, hello)
	for range 1000 {
		d := NewWSDeflateDecoder(testMaxFrame, false, pool)
		if got := drain(t, d, bytes.Clone(in), whole); fmt.Sprint(got) != "[text Hello]" {
			t.Fatal(got)
		}
	}
	if len(pool.spare) != 1 || pool.Messages != 1000 || pool.Read != 7000 || pool.Made != 5000 {
		t.Errorf("%d spare, %+v", len(pool.spare), pool)
	}
	d := NewWSDeflateDecoder(testMaxFrame, false, pool)
	if _, _, err := d.Next(frame(0xc1, "x")); err != nil {
		t.Fatal(err)
	}
	d.Release()
	if pool.Failed != 0 {
		t.Error("who has left has not failed")
	}
}

func TestInflaterBytes(t *testing.T) {
	var before, after runtime.MemStats
	pool := new(Inflaters)
	const count = 200
	ds := make([]*WSDeflateDecoder, count)
	in := frame(0xc1, blocks().codesOnly().fixed(0, "x").end())
	runtime.GC()
	runtime.GC() // what pools kept goes with the second one
	runtime.ReadMemStats(&before)
	for i := range ds {
		ds[i] = NewWSDeflateDecoder(testMaxFrame, false, pool)
		_, _, _ = ds[i].Next(bytes.Clone(in))
		ds[i].Inflate()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := int(after.HeapAlloc-before.HeapAlloc) / count
	if each > inflaterBytes || each < inflaterBytes*3/4 {
		t.Errorf("an inflater takes %d bytes, and is taken to take %d", each, inflaterBytes)
	}
	for _, d := range ds {
		d.Release()
	}
}

func TestInflateAllocs(t *testing.T) {
	pool, out := new(Inflaters), new(Deflater)
	d := NewWSDeflateDecoder(32<<10, false, pool)
	for _, message := range []string{"Hello", big, strings.Repeat(big, 16)} {
		frame := frame(0xc1, deflated(t, 6, message))
		in := make([]byte, len(frame))
		if n := testing.AllocsPerRun(200, func() {
			copy(in, frame)
			for rest := in; ; {
				m, left, err := d.Next(rest)
				if err != nil {
					t.Fatal(err)
				}
				if m.Kind == None {
					return
				}
				if m.Kind == Compressed {
					d.Inflate()
				} else if len(m.Data) != len(message) {
					t.Fatal(len(m.Data))
				}
				rest = left
			}
		}); n != 0 && !raceEnabled {
			t.Errorf("%v allocations for %d bytes", n, len(message))
		}
		head, body := []byte(message[:3]), []byte(message[3:])
		n := testing.AllocsPerRun(200, func() { out.Deflate(head, body) })
		if n != 0 && !raceEnabled {
			t.Errorf("%v allocations to compress %d bytes", n, len(message))
		}
	}
}

// What a Deflater makes is what a WSDeflateDecoder and the standard library inflate.
func TestDeflate(t *testing.T) {
	d, lines := new(Deflater), strings.Repeat(`{"sensor":17,"value":21.5},`, 4000)
	for _, message := range []string{"", "a", big, lines[:100], lines[:1000], lines[:32767],
		lines[:32768], lines[:65536], lines, noise, strings.Repeat("\x00", 1<<20), cutOff + lines} {
		for _, at := range []int{0, 1, len(message) / 2, len(message)} {
			at = min(at, len(message))
			p, smaller := d.Deflate([]byte(message[:at]), []byte(message[at:]))
			if compressible := len(message) > 50 && message != noise; smaller != compressible {
				t.Errorf("%d bytes: %d, smaller: %v", len(message), len(p), smaller)
			}
			got, ok := referenceInflate(p, 1<<20)
			if smaller && (!ok || string(got) != message || len(p) >= len(message)) {
				t.Errorf("%d bytes, cut at %d: %v, %d", len(message), at, ok, len(got))
			}
			if !smaller {
				continue
			}
			in := append(AppendWSDeflateHeader(nil, Text, len(p)), p...)
			w := NewWSDeflateDecoder(2<<20, true, new(Inflaters))
			if !utf8.ValidString(message) {
				in[0] ^= 3 // binary
			}
			out := drain(t, w, in, whole)
			if _, got, _ := strings.Cut(out[0], " "); len(out) != 1 || got != message {
				t.Errorf("%d bytes: %.50q", len(message), out)
			}
		}
	}
	if cap(d.in) > deflaterKeep || cap(d.out) > deflaterKeep {
		t.Errorf("%d and %d bytes are kept", cap(d.in), cap(d.out))
	}
}

func BenchmarkDeflate(b *testing.B) {
	lines := strings.Repeat(`{"sensor":17,"value":21.5,"unit":"C","at":"2026-11-30"},`, 2000)
	for _, size := range []int{256, 1024, 16384, 65536} {
		message := []byte(lines[:size])
		b.Run(fmt.Sprintf("compress-%d", size), func(b *testing.B) {
			d := new(Deflater)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, smaller := d.Deflate(message, nil); !smaller {
					b.Fatal()
				}
			}
		})
		b.Run(fmt.Sprintf("inflate-%d", size), func(b *testing.B) {
			d := NewWSDeflateDecoder(size, false, new(Inflaters))
			frame := frame(0xc1, deflated(b, 1, string(message)))
			in := make([]byte, len(frame))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				copy(in, frame)
				_, rest, _ := d.Next(in)
				for d.Inflate(); !d.work.done; d.Inflate() {
				}
				if m, _, _ := d.Next(rest); len(m.Data) != size {
					b.Fatal()
				}
			}
		})
	}
}
