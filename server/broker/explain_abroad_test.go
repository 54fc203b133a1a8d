package broker

import (
	"encoding/json"
	"slices"
	"testing"

	"mbserver/codec"
	"mbserver/server/config"
)

// explained is what system.explain tells k of a message: stops with their reasons.
func (m *mesh) explained(k *testClient, id string) (stops []string) {
	m.t.Helper()
	k.messages()
	k.send("request:system.explain:1.0.0:" + someID + "\n" + `{"requestId":"` + id + `"}`)
	m.settle()
	var said struct {
		Found bool
		Stops []struct{ Stop, Reason, ServiceID, Pattern string }
	}
	for _, text := range k.payloads("response:system.explain") {
		if err := json.Unmarshal([]byte(text), &said); err != nil {
			m.t.Fatal(err)
		}
	}
	for _, s := range said.Stops {
		text := s.Stop
		for _, more := range []string{s.Reason, s.Pattern} {
			if more != "" {
				text += " " + more
			}
		}
		if s.ServiceID == "" {
			text += " nowhere"
		}
		stops = append(stops, text)
	}
	return stops
}

// The requester's node tells to which service of another node its request was given and what came
// of it, the service's node what became of it there.
func TestExplainAcross(t *testing.T) {
	m := newMesh(t, 1, 2, 2, func(cfg *config.Config) { cfg.Explain.Sample = 1 })
	s := m.nodes[1].worker(1, 1, "r.+")
	k := m.nodes[0].connect(0, TransportTCP)
	m.settle()
	k.messages()
	k.call("q")
	m.settle()
	got := s.messages()
	masked := string(got[len(got)-1].RequestID)
	target := m.explained(s, masked)
	s.send("response:r.x:1.0.0:" + masked + "\na")
	m.settle()
	origin := m.explained(k, someID)
	if want := []string{"accepted", "matched at another node", "answered"}; !slices.Equal(
		origin, want) {
		t.Errorf("its node says %q", origin)
	}
	if want := []string{"accepted of another node nowhere", "matched r.+",
		"delivered"}; !slices.Equal(target, want) {
		t.Errorf("the service's node says %q", target)
	}
}

// An auditor sees at the service's node that a request was sent, under which ID, and which it
// stands for: that by which its own node knows it.
func TestAuditAcross(t *testing.T) {
	m := newMesh(t, 1, 2, 1, nil)
	s := m.nodes[1].worker(0, 1, "r.+")
	k := m.nodes[0].connect(0, TransportTCP)
	auditor := m.nodes[1].subscribers(1, 0, TransportTCP, "publish", "system.message")[0]
	m.settle()
	auditor.messages()
	k.call("q")
	m.settle()
	var masked string
	for _, one := range s.messages() {
		if one.Action == codec.Request {
			masked = string(one.RequestID)
		}
	}
	var ref string
	for _, e := range m.nodes[0].loops[0].outstanding.slots {
		if e != nil && e.far != nil {
			ref = e.id.String()
		}
	}
	found := false
	for _, text := range auditor.payloads("publish:system.message") {
		var sent struct {
			To, MaskedID string
			Message      struct {
				Header struct{ Action, RequestID string }
			}
		}
		if err := json.Unmarshal([]byte(text), &sent); err != nil {
			t.Fatal(err)
		}
		found = found || sent.Message.Header.Action == "request" && sent.To == s.id.String() &&
			sent.MaskedID == ref && sent.Message.Header.RequestID == masked
	}
	if !found {
		t.Errorf("the audit does not tell of it")
	}
}
