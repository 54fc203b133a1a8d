package backplane

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"mbserver/codec"
	"mbserver/server/abroad"
)

var update = flag.Bool("update", false, "write testdata/*.hex anew: only for a form not released")

// frames are one of each kind, by the name of its golden file.
func frames() map[string][]byte {
	publishes := appendPublish(nil, []byte("publish:a.B:1.0.0:m\n"), []byte("{}"), 0)
	publishes = appendPublish(publishes, []byte("publish:c:1.0.0:n\n"), []byte{0, 1}, 7)
	receipts := beginReceipts(nil, 5)
	receipts = (&receipt{of: 1 << 60, subscribers: 300, dropped: 2}).append(receipts)
	return map[string][]byte{
		"beat":     theBeat().append(nil),
		"delta":    theDelta().append(nil),
		"snapshot": theSnapshot().append(nil),
		"ask":      (&word{5, 6}).append(nil, kindAsk),
		"confirm":  (&word{5, 6}).append(nil, kindConfirm),
		"leave":    (&word{}).append(nil, kindLeave),
		"farewell": theFarewell().append(begin(nil, kindLeave)),
		"answered": theCallsBeat().append(nil),
		"batch":    (&batch{to: 5, epoch: 8, first: 1000, publishes: publishes}).append(nil),
		"receipts": receipts,
		"calls":    theFrameOfCalls(),
		"keeps":    (&beat{formLeast: 1, formMost: 1, keeps: 8 << 20}).append(nil),
		"repair":   theSpans().append(nil, kindRepair),
		"gone":     theSpans().append(nil, kindGone),
	}
}

// theFrameOfCalls has one of each.
func theFrameOfCalls() []byte {
	b := appendRequest(appendCallHead(nil, 5, 6, 7), theRequest())
	b = appendCancel(b, oneID)
	b = appendAnswer(b, &abroad.Answer{
		Ref: oneID, Outcome: abroad.Failed, Code: codec.ServiceUnavailable, Payload: []byte("{}"),
	})
	b = appendLoad(b, abroad.Load{Service: oneID, Others: 300, Last: true})
	return appendWait(b, abroad.Wait{Service: oneID, Waits: true})
}

func theBeat() *beat {
	return &beat{
		formLeast: 1, formMost: 1, server: "0.1.0", id: "7d4f", draining: true, connections: 300,
		version: 9, hash: 1 << 63, count: 4, time: 1 << 40,
		nodes: []beatNode{{
			name: "b", inc: 77, holds: true, version: 3, echo: 5, held: 6, epoch: 8,
			reached: []uint64{0, 9},
		}, {name: "c", inc: 78}},
	}
}

// theFarewell is what a node that leaves says of each other one.
func theFarewell() tagged {
	return tagged{{name: "b", inc: 77, epoch: 8, reached: []uint64{4, 0, 9}}}
}

type tagged []beatNode

func (all tagged) append(b []byte) []byte {
	for i := range all {
		b = appendBytes(b, tagNode, all[i].append(nil))
	}
	return b
}

// theCallsBeat says what has come of requests and answers.
func theCallsBeat() *beat {
	return &beat{
		formLeast: 1, formMost: 1, server: "0.1.0", id: "7d4f", version: 9, time: 1 << 40,
		keeps: 8 << 20,
		nodes: []beatNode{{
			name: "b", inc: 77, holds: true, version: 3, epoch: 8, reached: []uint64{0, 9},
			calls: []uint64{300, 0, 7}, missed: 2,
		}},
	}
}

func theDelta() *delta {
	return &delta{7, []change{
		{"a.#", false}, {"b", true}, {serviceEntry(theService()), false},
		{offerEntry(abroad.Offer{Service: oneID, Pattern: "a.+", Priority: 2.5}), false},
	}}
}

func theSnapshot() *snapshot {
	return &snapshot{
		to: 5, version: 6, hash: 7, part: 1, last: true, entries: []string{"a.+", "#"},
	}
}

// Frames of every form that was released are read by every later one.
func TestGoldenFrames(t *testing.T) {
	for name, frame := range frames() {
		path := filepath.Join("testdata", name+".hex")
		if *update {
			text := hex.EncodeToString(frame) + "\n"
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		golden, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil || !bytes.Equal(golden, frame) {
			t.Errorf("%s: %x, was %x", name, frame, golden)
		}
	}
}

// What is written is read, with fields that are not known among it.
func TestFramesRoundTrip(t *testing.T) {
	unknown := appendBytes(nil, 1000, "of a later version")
	read := func(frame []byte, want kind, parse func([]byte) error) {
		t.Helper()
		k, fields, err := open(append(frame, unknown...))
		if err != nil || k != want {
			t.Fatalf("kind %d: %v", k, err)
		}
		if err := parse(fields); err != nil {
			t.Fatalf("kind %d: %v", k, err)
		}
	}
	all := frames()
	var b beat
	if read(all["beat"], kindBeat, b.parse); !reflect.DeepEqual(&b, theBeat()) {
		t.Errorf("beat %+v", b)
	}
	b = beat{}
	if read(all["answered"], kindBeat, b.parse); !reflect.DeepEqual(&b, theCallsBeat()) {
		t.Errorf("beat %+v", b)
	}
	b = beat{}
	if read(all["farewell"], kindLeave, b.parse); !reflect.DeepEqual(tagged(b.nodes),
		theFarewell()) {
		t.Errorf("farewell %+v", b)
	}
	var d delta
	if read(all["delta"], kindDelta, d.parse); !reflect.DeepEqual(&d, theDelta()) {
		t.Errorf("delta %+v", d)
	}
	var s snapshot
	if read(all["snapshot"], kindSnapshot, s.parse); !reflect.DeepEqual(&s, theSnapshot()) {
		t.Errorf("snapshot %+v", s)
	}
	var a spans
	if read(all["repair"], kindRepair, a.parse); !reflect.DeepEqual(&a, theSpans()) {
		t.Errorf("spans %+v", a)
	}
	var w word
	if read(all["confirm"], kindConfirm, w.parse); w != (word{5, 6}) {
		t.Errorf("word %+v", w)
	}
	var m batch
	read(all["batch"], kindBatch, m.parse)
	if m.to != 5 || m.epoch != 8 || m.first != 1000 {
		t.Errorf("batch %+v", m)
	}
	var got []publish
	if err := each(m.publishes, func(tag uint64, value []byte) error {
		var p publish
		if tag == tagPublish {
			if err := p.parse(value); err != nil {
				return err
			}
			got = append(got, p)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := []publish{
		{message: []byte("publish:a.B:1.0.0:m\n{}")},
		{receipt: 7, message: []byte("publish:c:1.0.0:n\n\x00\x01")},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("publishes %+v", got)
	}
}

// FuzzFrames: a frame from anywhere is read or refused, and costs what it is long.
func FuzzFrames(f *testing.F) {
	for _, frame := range frames() {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		_, fields, err := open(frame)
		if err != nil {
			return
		}
		var (
			b beat
			d delta
			s snapshot
			w word
			m batch
			r receipt
			a spans
		)
		for _, parse := range []func([]byte) error{
			b.parse, d.parse, s.parse, w.parse, m.parse, r.parse, a.parse,
		} {
			_ = parse(fields) // it must end
		}
		_ = each(fields, func(_ uint64, value []byte) error {
			var q abroad.Request
			if readRequest(&q, value) == nil {
				again := appendRequest(nil, &q)
				_, field, _, err := next(again)
				var same abroad.Request
				if err != nil || readRequest(&same, field) != nil || !reflect.DeepEqual(q, same) {
					t.Errorf("request %+v", q)
				}
			}
			var a abroad.Answer
			_ = readAnswer(&a, value)
			_, _ = readLoad(value)
			_, _ = readWait(value)
			if s, err := readService(value); err == nil {
				if _, err := readService([]byte(serviceEntry(s))); err != nil {
					t.Errorf("service %+v", s)
				}
			}
			return nil
		})
		for _, c := range d.changes {
			if p, err := readPattern(c.entry); err == nil && p.String() != c.entry {
				t.Errorf("entry %q", c.entry)
			}
		}
		for i, s := range a.list {
			if s.first >= s.upto || i > 0 && s.first < a.list[i-1].upto || i >= spansMost {
				t.Errorf("spans %v", a.list)
			}
		}
		_ = each(m.publishes, func(_ uint64, value []byte) error {
			var p publish
			return p.parse(value)
		})
	})
}

// Who has sent a frame stands in its subject, and nobody else may be meant.
func TestSubjects(t *testing.T) {
	base := from("c", "n_1", 0xabc)
	for subject, want := range map[string]int{
		base + "all.ctl": control, base + "x.pub.0": 0, base + "x.pub.1023": 1023,
		base + "x.pub.1024": -2, base + "x.pub.-1": -2, base + "x.pub.x": -2,
		base + "x.req.0": callLanes, base + "x.req.1024": -2, base + "x": -2,
		"mb.v1.d.n.1.all.ctl": -2, "mb.v1.c..1.all.ctl": -2, "mb.v1.c.all.1.x.ctl": -2,
		"mb.v1.c.n.zz.all.ctl": -2, "": -2,
	} {
		node, inc, lane, ok := sender(subject, prefix("c"))
		if !ok {
			lane = -2
		}
		if lane != want || ok && (node != "n_1" || inc != 0xabc) {
			t.Errorf("%q: %q %x %d", subject, node, inc, lane)
		}
	}
}
