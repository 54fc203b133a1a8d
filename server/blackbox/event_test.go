package blackbox

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// story is the answer of /eventz.
type story struct {
	ID, Name, Remote, Transport string
	Open                        bool
	Forgotten                   int
	Events                      []struct {
		At, Event, Text, Until string
		Count                  int
		Ongoing                bool
	}
}

// story asks what a connection went through.
func (n *node) story(t testing.TB, id string) (s story) {
	t.Helper()
	status, body := n.adminGet(t, "/eventz?id="+id, "")
	if err := json.Unmarshal(body, &s); status != http.StatusOK || err != nil {
		t.Fatalf("/eventz of %s: %d %s, %v", id, status, body, err)
	}
	return s
}

// told is the names of the events, in order.
func (s *story) told() string {
	var names []string
	for _, e := range s.Events {
		names = append(names, e.Event)
	}
	return strings.Join(names, " ")
}

// What a connection goes through is told, in order, while it stands and after it has left.
func TestEvents_OfAConnection(t *testing.T) {
	perTransport(t, append(smallRing[:2:2], "rate.limit.global.per.service=50"),
		func(t *testing.T, n *node, transport string) {
			c := n.dial(t, transport)
			if s := n.story(t, c.id); s.told() != "opened" || !s.Open || s.Transport != transport {
				t.Errorf("at first: %+v", s)
			}
			c.ok("system.service.register", `{"name":"pilot","description":"x"}`)
			c.subscribe("publish", "flights.#")
			c.ok("system.topic.unsubscribe", `{"topic":"flights.#","action":"publish"}`)
			c.send("publish:nobody:1.0.0:"+idA, "x")
			c.expectFault("response:nobody:1.0.0:"+idA, "NO_ROUTE_FOUND")
			unrouted := 1
			for c.try("nobody") == nil {
				unrouted++
			}
			s := n.story(t, c.id)
			const life = "opened registered subscribed unsubscribed refused limited"
			if s.told() != life || s.Name != "pilot" || s.Forgotten != 0 {
				t.Errorf("it went through %q: %+v", s.told(), s)
			}
			refused := s.Events[4]
			if refused.Count != unrouted || !strings.Contains(refused.Text, "NO_ROUTE_FOUND") {
				t.Errorf("refused: %+v", refused)
			}
			for i := range s.Events[1:] {
				if between(t, s.Events[i].At, s.Events[i+1].At) < 0 {
					t.Errorf("not in order: %+v", s.Events)
				}
			}
			_ = c.peer.Close()
			eventually(t, "it has left", func() bool { return !n.story(t, c.id).Open })
			s = n.story(t, c.id)
			if s.told() != life+" closed" || s.Name != "pilot" {
				t.Errorf("after it has left: %q: %+v", s.told(), s)
			}
		})
}

// Somebody who is cut for what it does is remembered with why, though the log may not say it.
func TestEvents_WhyItWent(t *testing.T) {
	n := startNode(t, append([]string{"connection.stallTimeout=300"}, owingSettings...)...)
	kind, c := owedKinds()[0], n.narrow(t, overTCP)
	sent := make(chan error, 1)
	go func() { sent <- kind.sendAll(c.peer) }()
	eventually(t, "it is closed", func() bool { return !n.story(t, c.id).Open })
	t.Log("sending ended with", <-sent)
	s := n.story(t, c.id)
	last := s.Events[len(s.Events)-1]
	if !strings.Contains(s.told(), "paused") ||
		!strings.Contains(last.Text, "connection.stallTimeout") {
		t.Errorf("%q: %+v", s.told(), last)
	}
}

// Who asks for nobody, or for no ID, is told so, at once.
func TestEvents_OfNobody(t *testing.T) {
	n := startNode(t)
	for path, want := range map[string]int{
		"/eventz": 400, "/eventz?id=": 400, "/eventz?id=x": 404, "/eventz?id=" + idA: 404,
	} {
		begun := time.Now()
		if status, body := n.adminGet(t, path, ""); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
		if took := time.Since(begun); took > patience/4 {
			t.Errorf("%s took %v", path, took)
		}
	}
}
