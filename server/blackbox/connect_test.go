package blackbox

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestS4_Initialize(t *testing.T) {
	settings := []string{
		"message.payload.maxLength=5000", "max.outstanding.requests=77",
		"request.response.timeout.default=1234", "request.response.timeout.max=99999",
		"connection.heartbeatRetryTimeout=11000", "connection.heartbeatDeregisterTimeout=22000",
	}
	perTransport(t, settings, func(t *testing.T, n *node, transport string) {
		a, b := n.dial(t, transport), n.dial(t, transport) // dial checks head and serviceId
		if a.id == b.id {
			t.Error("two services with one ID")
		}
		number := func(group, name string, want ...float64) {
			g, _ := a.initial[group].(map[string]any)
			got, ok := g[name].(float64)
			for _, w := range want {
				if ok && got == w {
					return
				}
			}
			t.Errorf("%s.%s is %v, want %v", group, name, g[name], want)
		}
		number("limits", "payloadBytes", 5000)
		number("limits", "timeoutMs", 1234, 99999) // the contract does not say which of the two
		number("limits", "outstandingRequests", 77)
		number("heartbeat", "retryMs", 11000)
		number("heartbeat", "deregisterMs", 22000)
		for _, name := range []string{"nodeId", "serverVersion"} {
			if s, _ := a.initial[name].(string); s == "" || b.initial[name] != s {
				t.Errorf("%s is %v and %v", name, a.initial[name], b.initial[name])
			}
		}
		if a.service(a.id) == nil || a.service(b.id) == nil {
			t.Error("a service's ID is not in the list")
		}
	})
}

func TestS4_ConnectionLimit(t *testing.T) {
	t.Parallel()
	n := startNode(t, "connection.max.concurrent=3")
	a, b, c := n.dial(t, overTCP), n.dial(t, overWS), n.dial(t, overTCP)
	for range 5 {
		p, err := dialTCP(n.tcp)
		if err != nil {
			t.Fatal(err)
		}
		refused := &client{t: t, peer: p, transport: overTCP}
		e := refused.expectErrorHead()
		if e.Code != "SERVICE_UNAVAILABLE" || e.Details["reason"] != "connection_limit" {
			t.Errorf("got %+v", e)
		}
		if _, err := refused.tryFresh(); err != io.EOF {
			t.Errorf("after the refusal: %v", err)
		}
		_ = p.Close()

		r := dialRaw(t, n.ws)
		r.write([]byte(upgradeHead))
		resp, body := r.answer()
		var object map[string]any
		if resp.StatusCode != http.StatusServiceUnavailable ||
			json.Unmarshal([]byte(body), &object) != nil {
			t.Errorf("got %s with %q", resp.Status, body)
		}
		if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
			t.Errorf("content type %q", kind)
		}
		r.ended()
	}
	for _, established := range []*client{a, b, c} {
		established.none()
	}
	_ = b.peer.Close()
	var again *wsPeer
	eventually(t, "a place becomes free", func() bool {
		p, _, err := dialWS("ws://"+n.ws+"/", nil)
		again = p
		return err == nil
	})
	adopt(t, again, overWS).none()
}

// The default host is reached on both loopback addresses.
func TestS4_Loopback(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	probe, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Logf("no IPv6 here: %v", err)
		return
	}
	_ = probe.Close()
	for _, address := range []string{n.tcp, strings.Replace(n.tcp, "127.0.0.1", "[::1]", 1)} {
		p, err := dialTCP(address)
		if err != nil {
			t.Fatal(err)
		}
		adopt(t, p, overTCP).none()
	}
	p, _, err := dialWS("ws://"+strings.Replace(n.ws, "127.0.0.1", "[::1]", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	adopt(t, p, overWS).none()
}
