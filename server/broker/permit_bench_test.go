package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mbserver/server/auth"
	"mbserver/server/permit"
)

// everybodyMay gives everybody who connects rules that allow what these tests do.
func (n *testNode) everybodyMay(t testing.TB) {
	t.Helper()
	all := permit.Lists{Allow: []string{"a.#", "b.+"}, Deny: []string{"b.secret"}}
	var role permit.Role
	for v := range role.Verbs {
		role.Verbs[v] = all
	}
	policy, err := permit.Compile(permit.Source{
		Roles: map[string]permit.Role{"r": role}, Anonymous: []string{"r"},
	})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.New(auth.Source{})
	if err != nil {
		t.Fatal(err)
	}
	n.authority.Store(&Authority{Verifier: verifier, Policy: policy})
}

// A permission costs no allocation, on one topic or on several in turn.
func TestPermissionAllocations(t *testing.T) {
	for _, tr := range []Transport{TransportTCP, TransportWS} {
		n := newTestNode(t, 1, 2, nil)
		n.everybodyMay(t)
		ks := n.subscribers(2, 1, tr, "publish", "a.+")
		p := n.connect(0, tr)
		n.settle()
		quiet(append(ks, p)...)
		var publishes []func()
		for i := range 8 {
			publishes = append(publishes,
				p.again(fmt.Sprintf("publish:a.B%d:1.0.0:%s\nx", i, testRequestID)))
		}
		before, runs := n.sent(), uint64(0)
		holdAtZero(t, func() {
			publishes[runs%8]()
			runs++
			n.settle()
		})
		if got := n.sent() - before; got != 3*runs {
			t.Errorf("%d messages of %d", got, 3*runs)
		}
	}
}

// BenchmarkPermissions is what permissions cost a publish, on one topic and on 64 in turn: rounds
// on a node with permissions and on one without take turns, and the medians are compared.
func BenchmarkPermissions(b *testing.B) {
	for _, topics := range []int{1, 64} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			off, on := permissionRounds(b, topics, false), permissionRounds(b, topics, true)
			var without, with []time.Duration
			for b.Loop() {
				without = append(without, roundTime(off))
				with = append(with, roundTime(on))
			}
			slices.Sort(without)
			slices.Sort(with)
			a, c := without[len(without)/2], with[len(with)/2]
			b.ReportMetric(float64(a.Nanoseconds())/permissionRound, "ns/without")
			b.ReportMetric(float64(c.Nanoseconds())/permissionRound, "ns/with")
			b.ReportMetric(float64(c)/float64(a), "with/without")
		})
	}
}

func roundTime(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// permissionRound is how many publishes a round has.
const permissionRound = 4096

// permissionRounds returns what publishes on so many topics in turn.
func permissionRounds(b *testing.B, topics int, permissions bool) func() {
	n := newTestNode(b, 1, 1, nil)
	if permissions {
		n.everybodyMay(b)
	}
	ks := n.subscribers(1, 0, TransportTCP, "publish", "a.+")
	p := n.connect(0, TransportTCP)
	n.settle()
	quiet(append(ks, p)...)
	var publishes []func()
	for i := range topics {
		publishes = append(publishes, p.again(
			fmt.Sprintf("publish:a.b%d:1.0.0\n%s", i, strings.Repeat("x", 128))))
	}
	return func() {
		for i := 1; i <= permissionRound; i++ {
			publishes[i%topics]()
			if i%256 == 0 {
				n.settle()
			}
		}
	}
}
