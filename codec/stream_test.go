package codec

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

const testMaxFrame = 1000

// drain runs stream through d, cut into the pieces that cut gives, and writes down what came out.
// It fails the test if the decoder breaks a rule of Decoder.
func drain(t *testing.T, d Decoder, stream []byte, cut func(left int) int) (out []string) {
	t.Helper()
	defer d.Release()
	for len(stream) > 0 {
		n := cut(len(stream))
		// Its own memory: a reference kept to it would show under the scribbling below.
		in := bytes.Clone(stream[:n])
		stream = stream[n:]
		for rest := in; ; {
			m, left, err := d.Next(rest)
			if err != nil {
				_, _, again := d.Next([]byte{0x82})
				if again == nil || *again != *err || d.Buffered() != 0 {
					t.Fatalf("after %v: %v, %d bytes held", err, again, d.Buffered())
				}
				return append(out, fmt.Sprintf("error %d %v %d %s",
					err.CloseCode, err.TooLarge, err.Length, err.Reason))
			}
			if m.Kind == None {
				if len(left) != 0 {
					t.Fatalf("None with %d bytes left", len(left))
				}
				break
			}
			if m.Kind == Compressed {
				if len(left) == 0 {
					t.Fatal("Compressed with nothing left")
				}
				d.(*WSDeflateDecoder).Inflate()
				rest = left
				continue
			}
			if len(left) > len(rest) || cap(m.Data) != len(m.Data) {
				t.Fatalf("%d bytes left of %d, capacity %d of %d",
					len(left), len(rest), cap(m.Data), len(m.Data))
			}
			if m.Kind != Fragment {
				out = append(out, m.Kind.String()+" "+string(m.Data))
			}
			rest = left
		}
		for i := range in {
			in[i] = 0xaa
		}
		if d.Buffered() > 4*testMaxFrame+256 { // between two pieces nothing is being inflated
			t.Fatalf("%d bytes held", d.Buffered())
		}
	}
	return out
}

func whole(left int) int { return left }
func byByte(int) int     { return 1 }

// sameInAnyCut holds a decoder to: what it says depends on the bytes, not on their cuts.
func sameInAnyCut(t *testing.T, stream []byte, seed uint64, make func() Decoder) {
	t.Helper()
	want := drain(t, make(), stream, whole)
	r := rand.New(rand.NewPCG(seed, 1))
	cuts := map[string]func(int) int{
		"bytes":  byByte,
		"short":  func(left int) int { return min(left, 1+r.IntN(7)) },
		"random": func(left int) int { return 1 + r.IntN(left) },
	}
	for name, cut := range cuts {
		if got := drain(t, make(), stream, cut); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s, seed %d: %q\nwhole: %q\nstream %x", name, seed, got, want, stream)
		}
	}
	if len(stream) > 300 {
		return
	}
	for at := 1; at < len(stream); at++ {
		first := true
		got := drain(t, make(), stream, func(left int) int {
			if first {
				first = false
				return at
			}
			return left
		})
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("cut at %d: %q\nwhole: %q\nstream %x", at, got, want, stream)
		}
	}
}

func tcpFrame(body string) []byte { return append(AppendTCPHeader(nil, len(body)), body...) }

func TestTCPDecoder(t *testing.T) {
	big := string(bytes.Repeat([]byte("x"), testMaxFrame))
	stream := bytes.Join([][]byte{
		tcpFrame("one"), tcpFrame(""), tcpFrame(big), tcpFrame("\x00\xff"),
	}, nil)
	want := []string{"binary one", "binary ", "binary " + big, "binary \x00\xff"}
	got := drain(t, NewTCPDecoder(testMaxFrame), stream, whole)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q", got)
	}
	sameInAnyCut(t, stream, 1, func() Decoder { return NewTCPDecoder(testMaxFrame) })

	for _, n := range []uint32{testMaxFrame + 1, 1 << 31, 0xffffffff} {
		d := NewTCPDecoder(testMaxFrame)
		_, _, err := d.Next(AppendTCPHeader(nil, int(n)))
		if err == nil || !err.TooLarge || err.Length != uint64(n) || err.CloseCode != 1009 ||
			d.Buffered() != 0 {
			t.Errorf("%d: %+v, %d held", n, err, d.Buffered())
		}
	}
}

func FuzzTCPDecoder(f *testing.F) {
	f.Add(append(tcpFrame("hello"), tcpFrame("")...), uint64(1))
	f.Add([]byte{0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 4, 0}, uint64(2))
	f.Add([]byte{0, 0, 0, 200, 1, 2, 3}, uint64(3))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		sameInAnyCut(t, stream, seed, func() Decoder { return NewTCPDecoder(testMaxFrame) })
		likeSlowTCP(t, stream)
	})
}

// A peer that announces much and sends little must not cost what it announced, and one that sends a
// large message byte by byte must not cost its square.
func TestPartialFrameMemory(t *testing.T) {
	const limit = 16 << 10
	body := bytes.Repeat([]byte("y"), limit)
	key := [4]byte{1, 2, 3, 4}
	for name, c := range map[string]struct {
		new    func() Decoder
		stream []byte
		head   int
	}{
		"tcp": {func() Decoder { return NewTCPDecoder(limit) },
			append(AppendTCPHeader(nil, limit), body...), 4},
		"ws": {func() Decoder { return NewWSDecoder(limit, false) },
			AppendWSFrame(nil, Text, key, body), 8},
	} {
		// Leave used large buffers in the pools: a small piece must not pick one up.
		for range 4 {
			b := getBuffer(limit)
			b.B = append(b.B, body...)
			putBuffer(b)
		}
		d := c.new()
		var got Message
		grown, before := 0, 0
		for i := range c.stream {
			m, rest, err := d.Next(bytes.Clone(c.stream[i : i+1]))
			if err != nil || len(rest) != 0 {
				t.Fatal(name, i, err, len(rest))
			}
			arrived := max(0, i+1-c.head)
			if d.Buffered() > max(128, 2*arrived) || arrived == 0 && d.Buffered() != 0 {
				t.Fatalf("%s: %d bytes held when %d had arrived", name, d.Buffered(), arrived)
			}
			if d.Buffered() != before {
				before = d.Buffered()
				grown++
			}
			got = m
		}
		if !bytes.Equal(got.Data, body) || grown > 8 {
			t.Errorf("%s: %d bytes, grown %d times", name, len(got.Data), grown)
		}
		if m, _, err := d.Next(nil); m.Kind != None || err != nil || d.Buffered() != 0 {
			t.Errorf("%s: between two frames: %v %v, %d held", name, m.Kind, err, d.Buffered())
		}
		d.Release()
	}
}

// Frames above the largest pool still grow within bounds and arrive whole.
func TestHugeFrame(t *testing.T) {
	const size = 5 << 20
	body := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	stream := append(AppendTCPHeader(nil, size), body...)
	d := NewTCPDecoder(size)
	defer d.Release()
	for at := 0; at < len(stream); at += 64 << 10 {
		m, _, err := d.Next(stream[at:min(at+64<<10, len(stream))])
		if err != nil {
			t.Fatal(err)
		}
		if d.Buffered() > max(2*(at+64<<10), size) || d.Buffered() > 2*size {
			t.Fatalf("%d held after %d", d.Buffered(), at)
		}
		if m.Kind != None && (at+64<<10 < len(stream) || !bytes.Equal(m.Data, body)) {
			t.Fatal("wrong message")
		} else if m.Kind == None && at+64<<10 >= len(stream) {
			t.Fatal("no message")
		}
	}
}

func TestTCPNextAllocs(t *testing.T) {
	one, two := tcpFrame("hello, world"), tcpFrame(string(bytes.Repeat([]byte("z"), 700)))
	d := NewTCPDecoder(testMaxFrame)
	defer d.Release()
	count := 0
	next := func(in []byte) {
		for {
			m, rest, err := d.Next(in)
			if err != nil {
				t.Error(err)
			}
			if m.Kind == None {
				return
			}
			count, in = count+1, rest
		}
	}
	if n := testing.AllocsPerRun(200, func() {
		next(one)
		next(two[:100])
		next(two[100:300])
		next(two[300:])
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
	if count != 402 {
		t.Error(count, "messages")
	}
}

func BenchmarkTCPNext(b *testing.B) {
	for _, size := range []int{64, 1024, 16384} {
		frame := tcpFrame(string(bytes.Repeat([]byte("x"), size)))
		b.Run(fmt.Sprintf("whole-%d", size), func(b *testing.B) {
			d := NewTCPDecoder(size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if m, _, _ := d.Next(frame); len(m.Data) != size {
					b.Fatal()
				}
			}
		})
		b.Run(fmt.Sprintf("halves-%d", size), func(b *testing.B) {
			d := NewTCPDecoder(size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if m, _, _ := d.Next(frame[:size/2]); m.Kind != None {
					b.Fatal()
				}
				if m, _, _ := d.Next(frame[size/2:]); len(m.Data) != size {
					b.Fatal()
				}
			}
		})
	}
}

// A node keeps a decoder for each connection: a field more takes the allocator's next size.
func TestDecoderSizes(t *testing.T) {
	if n := unsafe.Sizeof(TCPDecoder{}); n > 24 {
		t.Errorf("TCPDecoder has %d bytes, at most 24", n)
	}
	if n := unsafe.Sizeof(WSDecoder{}); n > 64 {
		t.Errorf("WSDecoder has %d bytes, at most 64", n)
	}
}
