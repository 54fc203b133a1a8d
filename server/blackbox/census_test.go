package blackbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// see asks the admin listener for something that it answers as JSON.
func (n *node) see(t testing.TB, path string) map[string]any {
	t.Helper()
	status, body := n.probe(path)
	var answer map[string]any
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d, %v in %s", path, status, err, body)
	}
	return answer
}

// rows are those of a list under a name.
func (n *node) rows(t testing.TB, path, name string) (rows []map[string]any) {
	t.Helper()
	for _, row := range n.see(t, path)[name].([]any) {
		rows = append(rows, row.(map[string]any))
	}
	return rows
}

// Over each transport what is counted of a connection are its messages, no frames of a handshake or
// of a transport's own; bytes are as many as the messages have at least.
func TestConnectionCounts(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		sub, pub := n.dial(t, transport), n.dial(t, overTCP)
		sub.subscribe("publish", "count.me")
		const many, size = 30, 200
		for range many {
			pub.send("publish:count.me:1.0.0", strings.Repeat("x", size))
		}
		for range many {
			sub.expect("publish:count.me:1.0.0:*")
		}
		pub.settle()
		d := n.see(t, "/connz/"+sub.id)
		if d["received"] != 1.0 || d["sent"] != 2.0+many || d["dropped"] != 0.0 ||
			d["transport"] != transport {
			t.Errorf("the subscriber: %v", d)
		}
		p := n.see(t, "/connz/"+pub.id)
		if p["received"].(float64) < many || p["receivedBytes"].(float64) < many*size ||
			d["sentBytes"].(float64) == 0 || d["receivedBytes"].(float64) == 0 {
			t.Errorf("the publisher: %v", p)
		}
	})
}

// A client that does not read its answers is shown so, and why.
func TestUnreadConnectionIsShown(t *testing.T) {
	n := startNode(t, owingSettings...)
	c := n.narrow(t, overTCP)
	go func() { // until the test closes it
		for c.peer.Send([]byte("nonsense")) == nil {
		}
	}()
	eventually(t, "it is shown", func() bool {
		rows := n.rows(t, "/connz?state=unread", "connections")
		if len(rows) != 1 {
			return false
		}
		status, body := n.probe("/connz/" + fmt.Sprint(rows[0]["id"]))
		var d struct{ Paused struct{ Reasons []string } }
		return json.Unmarshal([]byte(body), &d) == nil && status == http.StatusOK &&
			slices.Contains(d.Paused.Reasons, "answers")
	})
	_ = c.peer.Close()
	eventually(t, "it has gone", func() bool {
		return len(n.rows(t, "/connz", "connections")) == 0
	})
}
