package broker

import (
	"fmt"
	"strings"
	"testing"

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

// BenchmarkPermissions is what permissions cost a publish: on one topic, and on 64 in turn.
func BenchmarkPermissions(b *testing.B) {
	for _, topics := range []int{1, 64} {
		for _, on := range []bool{false, true} {
			b.Run(fmt.Sprintf("topics=%d/permissions=%v", topics, on), func(b *testing.B) {
				n := newTestNode(b, 1, 1, nil)
				if on {
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
				for i := 1; b.Loop(); i++ {
					publishes[i%topics]()
					if i%256 == 0 {
						n.settle()
					}
				}
				n.settle()
			})
		}
	}
}
