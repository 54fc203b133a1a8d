package backplane

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// talk is a node that is heard with the next of its patterns.
type talk struct {
	nodeKey
	told uint64
}

// beats has it be heard.
func (k *talk) beats(t *testing.T, p *Plane) {
	t.Helper()
	m := beat{formLeast: form, formMost: form, version: k.told}
	p.receive(from("c", k.name, k.inc)+all+".ctl", m.append(nil))
}

// says has it tell of one more pattern, and says whether it is live after that.
func (k *talk) says(p *Plane) bool {
	k.told++
	d := delta{k.told, []change{{fmt.Sprintf("%s.t%d", k.name, k.told), false}}}
	p.receive(from("c", k.name, k.inc)+all+".ctl", d.append(nil))
	return k.live(p)
}

func (k *talk) live(p *Plane) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.nodes[k.nodeKey]
	return n != nil && n.state == nodeLive
}

// Who tells of itself without bound is not heard for a while, longer each time, whichever run of it
// is; whoever tells of little stays, and has its part.
func TestTellsTooMuch(t *testing.T) {
	p, now, _ := teller(t)
	p.broker = deafBroker{}
	p.heard.most = 64 << 10
	enemy, other := &talk{nodeKey{"enemy", 2}, 0}, &talk{nodeKey{"other", 3}, 0}
	enemy.beats(t, p)
	other.beats(t, p)
	for range 10 {
		other.says(p)
	}
	enemy.told = 0
	for n := 0; enemy.says(p); n++ {
		if n > 1000 {
			t.Fatal("it may tell of anything")
		}
	}
	if half := uint64(p.heard.most) / 2 / uint64(chargeOf("enemy.t1")); enemy.told < half/2 {
		t.Errorf("it was passed over after %d patterns", enemy.told)
	}
	for n := int64(0); n < p.heard.most/4/chargeOf("other.t1234")-10; n++ {
		if !other.says(p) {
			t.Fatalf("the other one is passed over after %d", other.told)
		}
	}
	charged := p.heard.bytes.Load() // without its own words, which nobody sends here
	if own := int64(other.told) * chargeOf("other.t1"); charged < own || charged > own*11/10 {
		t.Errorf("%d bytes are charged, %d are of who is there", charged, own)
	}
	for _, pause := range []time.Duration{passLeast, 2 * passLeast, 4 * passLeast, passMost} {
		enemy = &talk{nodeKey{"enemy", enemy.inc + 1}, 0} // as after a restart
		*now += pause - time.Second
		if enemy.beats(t, p); enemy.live(p) {
			t.Fatalf("it is heard again before %v", pause)
		}
		*now += time.Second
		if enemy.beats(t, p); !enemy.live(p) {
			t.Fatalf("it is not heard after %v", pause)
		}
		for n := 0; enemy.says(p); n++ {
			if n > 1000 {
				t.Fatal("it may tell of anything")
			}
		}
	}
	if !other.live(p) {
		t.Error("the other one is gone")
	}
}

// Of a heartbeat's texts no more is kept than anybody would write.
func TestLongTexts(t *testing.T) {
	for _, m := range []beat{
		{server: strings.Repeat("x", textMost+1)}, {id: strings.Repeat("x", 1<<20)},
	} {
		_, fields, err := open(m.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		var got beat
		if err = got.parse(fields); err != nil || len(got.server)+len(got.id) != textMost {
			t.Errorf("a server of %d bytes, an ID of %d: %v", len(got.server), len(got.id), err)
		}
	}
}
