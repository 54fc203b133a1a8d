package blackbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// trouble is one of /troublez.
type trouble struct {
	Kind, Severity, Cause, Since, Seen string
	Why, Do, See                       string
	ID, Name, Identity, Remote, Topic  string
}

// troubles is the answer of /troublez.
type troubles struct {
	At       string
	Troubles []trouble
	More     []struct {
		Kind  string
		Count int
	}
}

// adminGet fetches a page of the admin listener as somebody; an empty identity gives no token.
func (n *node) adminGet(t testing.TB, path, identity string) (status int, body []byte) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+n.admin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if identity != "" {
		r.Header.Set("Authorization", "Bearer "+tokenOf(identity))
	}
	resp, err := adminClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// troubles asks what is wrong.
func (n *node) troubles(t testing.TB, identity string) (all troubles) {
	t.Helper()
	status, body := n.adminGet(t, "/troublez", identity)
	if err := json.Unmarshal(body, &all); status != http.StatusOK || err != nil {
		t.Fatalf("/troublez: %d %s, %v", status, body, err)
	}
	return all
}

// find returns the trouble of a kind and a cause, or nil.
func (all *troubles) find(kind, cause string) *trouble {
	for i := range all.Troubles {
		if tr := &all.Troubles[i]; tr.Kind == kind && (cause == "" || tr.Cause == cause) {
			return tr
		}
	}
	return nil
}

// between is how long after one time of the node's another is.
func between(t testing.TB, from, to string) time.Duration {
	t.Helper()
	checkTimestamp(t, from)
	checkTimestamp(t, to)
	a, _ := time.Parse(time.RFC3339, from)
	b, _ := time.Parse(time.RFC3339, to)
	return b.Sub(a)
}

// injected is a trouble that a test makes.
type injected struct {
	kind, cause string
	topic       string // on which it is
	settings    []string
	asker       string // whose token is needed to see it
	// make makes it, and returns whom it concerns and what ends it; nil: it ends by itself.
	make func(t *testing.T, n *node) (id string, end func())
}

// again does something again and again until the end.
func again(do func()) (end func()) {
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				do()
			}
		}
	})
	return func() {
		close(stop)
		done.Wait()
	}
}

// swallow reads all that comes until the connection ends.
func (c *client) swallow() {
	go func() {
		for err := error(nil); err == nil; {
			_, err = c.peer.Recv(time.Now().Add(patience))
		}
	}()
}

// quietly says something again and again, and reads whatever is answered.
func (c *client) quietly(message string) (end func()) {
	c.swallow()
	return again(func() { _ = c.peer.Send([]byte(message)) })
}

var injections = []injected{
	{
		kind: "slow_subscriber", settings: smallRing,
		make: func(t *testing.T, n *node) (string, func()) {
			publisher, slow := n.dial(t, overTCP), n.narrow(t, overTCP)
			slow.subscribe("publish", "slow.x")
			for n.counter(t, "mb_deliveries_dropped_total") == 0 {
				for range 100 {
					publisher.send("publish:slow.x:1.0.0", filler)
				}
			}
			return slow.id, slow.swallow
		},
	},
	{
		kind: "paused_publisher", settings: pausing(600_000),
		make: func(t *testing.T, n *node) (string, func()) {
			publisher, slow := n.dial(t, overTCP), n.narrow(t, overTCP)
			slow.subscribe("publish", "slow.x")
			sent := publisher.pour("slow.x", 0, 400)
			publisher.swallow()
			return publisher.id, func() {
				slow.swallow()
				if err := <-sent; err != nil {
					t.Error(err)
				}
			}
		},
	},
	{
		kind: "unread_connection", cause: "answers", settings: owingSettings,
		make: func(t *testing.T, n *node) (string, func()) {
			kind, c := owedKinds()[0], n.narrow(t, overTCP)
			sent := make(chan error, 1)
			go func() { sent <- kind.sendAll(c.peer) }()
			return c.id, func() {
				c.swallow()
				t.Log("sending ended with", <-sent)
			}
		},
	},
	{
		kind: "saturated_service",
		make: func(t *testing.T, n *node) (string, func()) {
			service, caller := n.dial(t, overWS), n.dial(t, overTCP)
			service.ok("system.service.register",
				`{"name":"one","description":"x","maxConcurrent":1}`)
			service.subscribe("request", "ask.one")
			for range 3 {
				caller.send("request:ask.one:1.0.0:"+idA+"::60000", "x")
			}
			return service.id, func() {
				for range 3 {
					id := service.expect("request:ask.one:1.0.0:*").ID
					service.send("response:ask.one:1.0.0:"+id, "y")
				}
			}
		},
	},
	{
		kind: "limited_client", cause: "service",
		settings: []string{"rate.limit.global.per.service=10"},
		make: func(t *testing.T, n *node) (string, func()) {
			c := n.dial(t, overTCP)
			return c.id, c.quietly("publish:a.b:1.0.0\nx")
		},
	},
	{
		kind: "lockout", asker: "boss",
		settings: []string{
			knows("boss"), `permissions.roles={"boss":{"system":["*"]}}`,
			"auth.failure.lockout.threshold=2", "auth.failure.lockout.duration=2",
		},
		make: func(t *testing.T, n *node) (string, func()) {
			c := n.dial(t, overTCP)
			c.refused("system.auth", `{"token":"wrong"}`, "UNAUTHORIZED")
			c.refused("system.auth", `{"token":"wrong"}`, "UNAUTHORIZED")
			return "", nil
		},
	},
	{
		kind: "wrong_credentials", asker: "boss",
		settings: []string{knows("boss"), `permissions.roles={"boss":{"system":["*"]}}`},
		make: func(t *testing.T, n *node) (string, func()) {
			c := n.dial(t, overTCP)
			c.refused("system.auth", `{"token":"wrong"}`, "UNAUTHORIZED")
			return "", nil
		},
	},
	{
		kind: "refused", cause: "origin",
		make: func(t *testing.T, n *node) (string, func()) {
			return "", again(func() {
				r, err := http.NewRequest(http.MethodGet, "http://"+n.ws+"/", nil)
				if err != nil {
					t.Error(err)
					return
				}
				for name, value := range map[string]string{
					"Connection": "Upgrade", "Upgrade": "websocket",
					"Sec-WebSocket-Version": "13",
					"Sec-WebSocket-Key":     "dGhlIHNhbXBsZSBub25jZQ==",
					"Origin":                "https://evil.example",
				} {
					r.Header.Set(name, value)
				}
				if resp, err := adminClient.Do(r); err == nil {
					_ = resp.Body.Close()
				}
			})
		},
	},
	{
		kind: "handshakes_failed", cause: "not_tls",
		make: func(t *testing.T, n *node) (string, func()) {
			return "", again(func() { speak(t, n.tls, []byte("no hello\n")) })
		},
	},
	{
		kind: "memory",
		settings: []string{
			"memory.limit=67108864", "message.payload.maxLength=1048576",
		},
		make: func(t *testing.T, n *node) (string, func()) {
			var all []*client
			part := make([]byte, 4+900_000)
			part[0], part[1], part[2], part[3] = 0, 15, 0, 0
			for n.counter(t, "mb_memory_charged_bytes") < 67108864/100*36 {
				c := n.dial(t, overTCP)
				if _, err := c.peer.(*tcpPeer).conn.Write(part); err != nil {
					t.Fatal(err)
				}
				all = append(all, c)
			}
			return "", func() {
				for _, c := range all {
					_ = c.peer.Close()
				}
			}
		},
	},
	{
		kind: "connections_near_limit", settings: []string{"connection.max.concurrent=4"},
		make: func(t *testing.T, n *node) (string, func()) {
			var all []*client
			for range 4 {
				all = append(all, n.dial(t, overTCP))
			}
			return "", func() {
				for _, c := range all {
					_ = c.peer.Close()
				}
			}
		},
	},
	{
		kind: "requests_timed_out", topic: "mute",
		make: func(t *testing.T, n *node) (string, func()) {
			service, caller := n.dial(t, overTCP), n.dial(t, overTCP)
			service.subscribe("request", "mute")
			service.swallow()
			return "", caller.quietly("request:mute:1.0.0:" + idA + "::20\nx")
		},
	},
	{
		kind: "requests_unserved", topic: "nobody",
		make: func(t *testing.T, n *node) (string, func()) {
			return "", n.dial(t, overTCP).quietly("request:nobody:1.0.0:" + idA + "\nx")
		},
	},
	{
		kind: "draining", settings: []string{"admin.operator=true"},
		make: func(t *testing.T, n *node) (string, func()) {
			n.adminDrain(t, `{}`)
			return "", func() { n.adminDrain(t, `{"cancel":true}`) }
		},
	},
}

// adminDrain says something to POST /drain.
func (n *node) adminDrain(t *testing.T, wish string) {
	t.Helper()
	resp, err := adminClient.Post("http://"+n.admin+"/drain", "application/json",
		strings.NewReader(wish))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("POST /drain %s: %d", wish, resp.StatusCode)
	}
}

// Each trouble stands in /troublez within 2 s, by the node's own clock, says whom it concerns, and
// is gone within 5 s after its last sign. A node with which nothing is wrong says so.
func TestTroubles_ComeAndGo(t *testing.T) {
	for _, in := range injections {
		t.Run(strings.TrimSuffix(in.kind+" "+in.cause, " "), func(t *testing.T) {
			t.Parallel()
			n := startNode(t, in.settings...)
			if all := n.troubles(t, in.asker); len(all.Troubles) != 0 {
				t.Fatalf("at first: %+v", all)
			}
			id, end := in.make(t, n)
			n.comesAndGoes(t, &in, id, end)
		})
	}
}

// comesAndGoes holds a trouble that is being made to its times.
func (n *node) comesAndGoes(t *testing.T, in *injected, id string, end func()) {
	t.Helper()
	before := "" // the last answer without it, by the node's clock
	var found trouble
	eventually(t, in.kind+" is told", func() bool {
		all := n.troubles(t, in.asker)
		is := all.find(in.kind, in.cause)
		if is == nil {
			before = all.At
			return false
		}
		found = *is
		return true
	})
	if before != "" && between(t, found.Since, before) > 2*time.Second {
		t.Errorf("since %s, and not told at %s", found.Since, before)
	}
	if found.ID != id || found.Topic != in.topic || found.Why == "" || found.Do == "" ||
		!strings.HasPrefix(found.See, "docs/operations.md#") {
		t.Errorf("it concerns %s, told is %+v", id, found)
	}
	if end != nil {
		end()
	}
	eventually(t, in.kind+" is over", func() bool {
		all := n.troubles(t, in.asker)
		is := all.find(in.kind, in.cause)
		if is == nil {
			return true
		}
		if late := between(t, is.Seen, all.At); late > 5*time.Second {
			t.Fatalf("it is told %v after its last sign", late)
		}
		return false
	})
}

// A certificate that expires soon is one until a newer one is read.
func TestTroubles_Certificate(t *testing.T) {
	t.Parallel()
	old, err := signed(t.TempDir(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "ssl.key="+old.key, "ssl.cert="+old.certificate)
	n.comesAndGoes(t, &injected{kind: "certificate"}, "", func() {
		fresh := identify(t)
		for from, to := range map[string]string{
			fresh.key: old.key, fresh.certificate: old.certificate,
		} {
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	})
}

// Who may not see connections is told what is wrong, and of nobody.
func TestTroubles_ShowNobody(t *testing.T) {
	t.Parallel()
	n := startNode(t, knows("viewer", "counter", "nobody", "chatty"), `permissions.roles={`+
		`"viewer":{"system":["connection","metrics","service.list"]},`+
		`"counter":{"system":["metrics"]},`+
		`"nobody":{"system":["topic.list","connection"]},"chatty":{"publish":{"allow":["#"]}}}`,
		"rate.limit.global.per.service=10", "auth.required=true")
	c := n.dial(t, overTCP)
	c.identify("chatty")
	c.ok("system.service.register", `{"name":"chatterbox","description":"x"}`)
	address := c.peer.(*tcpPeer).conn.LocalAddr().String()
	defer c.quietly("publish:a.b:1.0.0\nx")()
	eventually(t, "a client is limited", func() bool {
		all := n.troubles(t, "viewer")
		is := all.find("limited_client", "service")
		if is != nil && (is.ID != c.id || is.Name != "chatterbox" || is.Identity != "chatty" ||
			is.Remote != address) {
			t.Errorf("told of %+v", is)
		}
		return is != nil
	})
	status, body := n.adminGet(t, "/troublez", "counter")
	if status != http.StatusOK || !strings.Contains(string(body), "limited_client") {
		t.Fatalf("%d %s", status, body)
	}
	for _, word := range []string{c.id, "chatterbox", "chatty", address} {
		if strings.Contains(string(body), word) {
			t.Errorf("%s is told to who may not see connections: %s", word, body)
		}
	}
	for path, want := range map[string]map[string]int{
		"/troublez":          {"viewer": 200, "counter": 200, "nobody": 403, "": 401},
		"/eventz?id=" + c.id: {"viewer": 200, "counter": 403, "nobody": 403, "": 401},
	} {
		for who, status := range want {
			got, body := n.adminGet(t, path, who)
			if got != status {
				t.Errorf("%s of %q: %d %s", path, who, got, body)
			}
			if status >= 400 && strings.Contains(string(body), address) {
				t.Errorf("%s of %q tells %s", path, who, body)
			}
		}
	}
}

// Of many troubles of a kind some are told, and how many more there are.
func TestTroubles_AreBounded(t *testing.T) {
	t.Parallel()
	n := startNode(t, "rate.limit.global.per.service=10")
	const clients = 25
	for range clients {
		c := n.dial(t, overTCP)
		defer c.quietly("publish:a.b:1.0.0\nx")()
	}
	for _, row := range []struct {
		query       string
		told, limit int
	}{
		{"", 20, 20}, {"?kind=limited_client&limit=3", 3, 3}, {"?limit=100", 25, 100},
		{"?kind=fault", 0, 20}, {"?limit=0", 0, 0},
	} {
		var all troubles
		eventually(t, fmt.Sprint(clients, " clients are limited: ", row.query), func() bool {
			all = troubles{}
			_, body := n.adminGet(t, "/troublez"+row.query, "")
			if err := json.Unmarshal(body, &all); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			more := 0
			for _, m := range all.More {
				more += m.Count
			}
			return row.query == "?kind=fault" && more == 0 ||
				len(all.Troubles) == row.told && more == clients-row.told
		})
		if len(all.Troubles) > row.told {
			t.Errorf("%s: %d are told", row.query, len(all.Troubles))
		}
	}
	for _, query := range []string{"?limit=x", "?limit=-1", "?limit=101", "?kind=bad"} {
		if status, body := n.adminGet(t, "/troublez"+query, ""); status != 400 {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}
