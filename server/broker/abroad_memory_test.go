package broker

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"mbserver/codec"
	"mbserver/server/abroad"
	"mbserver/server/backplane"
)

// wire is a bus that carries at once.
type wire struct {
	heard [](func(subject string, frame []byte)) // of control
	other *wire
}

func (w *wire) Send(_ int, subject string, frame []byte) error {
	for _, f := range w.other.heard {
		f(subject, append([]byte(nil), frame...))
	}
	return nil
}

func (w *wire) Listen(subjects []string, f func(string, []byte)) error {
	if strings.HasSuffix(subjects[0], ".ctl") {
		w.heard = append(w.heard, f)
	}
	return nil
}

func (*wire) Close() {}

// talker is the broker of a node that only tells of itself.
type talker struct{ backplane.Broker }

func (talker) Join(uint32)           {}
func (talker) Named(uint32, string)  {}
func (talker) Part(uint32)           {}
func (talker) Missed(uint32)         {}
func (talker) Delivered()            {}
func (talker) Called()               {}
func (talker) Standing() (int, bool) { return 0, false }

// announced is a node to which another tells of itself.
type announced struct {
	t     testing.TB
	now   time.Duration
	node  *testNode
	plane backplane.Stepped // of the node
	other backplane.Stepped
}

// announcedTo makes one, of which at most so many bytes are kept of what others tell.
func announcedTo(t testing.TB, most int64) *announced {
	a := &announced{t: t, now: time.Hour, node: newTestNode(t, 1, 1, nil)}
	in, w := a.node.ClusterNode(), [2]*wire{{}, {}}
	w[0].other, w[1].other = w[1], w[0]
	join := func(name string, b backplane.Broker, w *wire, most int64) backplane.Stepped {
		p, err := backplane.NewStepped(backplane.Options{
			Cluster: "c", Node: name, Lanes: 1, Incarnation: 1, Heartbeat: time.Hour,
			AckTimeout: time.Second, OutboundBytes: 1 << 30, InterestMax: 1 << 30, HeardBytes: most,
			Server: "1", ID: a.node.id.String(), Log: slog.New(slog.DiscardHandler),
			Now: func() time.Duration { return a.now },
		}, b, w)
		if err == nil {
			err = p.Listen()
		}
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a.plane, a.other = join("a", in, w[0], most), join("b", talker{}, w[1], 0)
	a.node.JoinCluster(a.plane, "c", "a", time.Second)
	a.pass()
	return a
}

// pass carries all there is, and what is said to that.
func (a *announced) pass() {
	for range 3 {
		a.now += time.Second
		for _, p := range []backplane.Stepped{a.other, a.plane} {
			p.Step()
			for p.Waits(-1) {
				p.Send(-1)
			}
		}
	}
}

// beat has a heartbeat be sent.
func (a *announced) beat() {
	a.now += time.Hour
	a.pass()
}

func (a *announced) peer() (live bool, patterns int) {
	for _, p := range a.plane.Sample(time.Unix(0, 0)).Peers {
		return p.State == "live", p.Patterns
	}
	return false, 0
}

// kinds are what a node may tell of itself, each the worst of its kind.
func (a *announced) kinds() map[string]func(i int) {
	serve := func(i int, description string) codec.UUID {
		id := codec.UUID{Hi: uint64(i) << 32, Lo: 1}
		a.other.Serve(&abroad.Service{ID: id, Name: fmt.Sprint(i), Description: description})
		return id
	}
	long := strings.Repeat("l", 45)
	return map[string]func(i int){
		"patterns": func(i int) {
			a.other.Subscribed(fmt.Sprintf("flights.eu.departures.gate%06d", i))
		},
		"patterns that share nothing": func(i int) {
			a.other.Subscribed(fmt.Sprintf("a%d.b%[1]d.c%[1]d.d%[1]d.e%[1]d", i))
		},
		"long patterns": func(i int) {
			a.other.Subscribed(fmt.Sprintf("a%[2]s%[1]d.b%[1]d%[2]s.c%[1]d%[2]s.%[2]s", i, long))
		},
		"services":      func(i int) { serve(i, "") },
		"long services": func(i int) { serve(i, strings.Repeat("x", 8<<10)) },
		"services that serve": func(i int) {
			a.other.Offer(abroad.Offer{Service: serve(i, ""), Pattern: fmt.Sprintf("s%d.t", i)})
		},
		"offers": func(i int) {
			a.other.Offer(abroad.Offer{
				Service: serve(0, ""), Pattern: fmt.Sprintf("a%d.b%[1]d.c%[1]d.d%[1]d.e%[1]d", i),
			})
		},
	}
}

// What other nodes tell of themselves is charged with what is held of it, and not much more, and
// with nothing when they have gone.
func TestAnnouncedCharge(t *testing.T) {
	for name := range new(announced).kinds() {
		a := announcedTo(t, 0)
		a.beat()
		const count = 1000
		before := heapBytes()
		tell := a.kinds()[name]
		for i := range count {
			tell(i)
		}
		told := heapBytes() - before // by the other, which is of the same process
		a.pass()
		held, charged := heapBytes()-before-told, a.plane.Held()
		if live, patterns := a.peer(); !live || patterns < count {
			t.Fatalf("%s: live %v, %d patterns", name, live, patterns)
		}
		t.Logf("%s: %d bytes each, %d charged", name, held/count, charged/count)
		if !raceEnabled && (held > charged || charged > 4*held) {
			t.Errorf("%s: %d bytes are held, %d charged", name, held, charged)
		}
		a.other.Leave()
		a.other.Send(-1)
		if left := a.plane.Held(); left != 0 {
			t.Errorf("%s: when it has gone %d bytes are charged", name, left)
		}
	}
}

// A node that tells of itself without bound takes no more than a part of its peer's memory: it is
// passed over, and again when it comes back; one that tells less is heard again.
func TestAnnouncedWithoutBound(t *testing.T) {
	for name := range new(announced).kinds() {
		const most = 1 << 18
		a := announcedTo(t, most)
		a.beat()
		tell, greatest := a.kinds()[name], int64(0)
		told := func(n int) {
			for i := range n {
				if tell(i); i%1000 == 0 {
					a.pass()
					greatest = max(greatest, a.plane.Held())
				}
			}
		}
		count := 20 * most >> 10
		if strings.HasPrefix(name, "long s") {
			count /= 10 // as many bytes
		}
		told(count)
		for range 3 { // it is heard anew, asked, and tells all at once
			a.beat()
			greatest = max(greatest, a.plane.Held())
		}
		if live, patterns := a.peer(); live {
			t.Errorf("%s: it is live, with %d patterns", name, patterns)
		}
		if greatest == 0 || greatest > most {
			t.Errorf("%s: up to %d bytes were charged, of %d", name, greatest, most)
		}
		if held := a.plane.Held(); held != 0 {
			t.Errorf("%s: %d bytes are charged for it when it is passed over", name, held)
		}
	}
}
