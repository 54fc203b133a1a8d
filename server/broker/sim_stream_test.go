package broker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"mbserver/codec"
	"mbserver/server/logging"
	"mbserver/server/system"
)

// simStream is what is known of the streams that one client reads.
type simStream struct {
	auditor bool
	levels  uint8    // of log lines that it has ever asked for
	takes   []string // what the node took from it: action, topic and ID
	heard   int      // what it received, the audit apart

	ledger    []string // keys of the publishes that were routed to it, in order
	seen      int      // how far into the ledger it has received
	told      int      // what it was told to have lost since
	conflates bool
}

// ordered says that the publishes routed to the client must reach it in the order of its ledger,
// what was lost told in its place: they all came from its own loop and waited for nobody.
func (k *simClient) ordered() bool {
	return len(k.s.n.loops) == 1 && !k.s.pausing && k.levels == 0 && !k.auditor && !k.conflates
}

// checkHole holds that a notice of what was dropped stands where that is missing.
func (k *simClient) checkHole(p *simPublish) {
	if !k.ordered() {
		return
	}
	skipped := slices.Index(k.ledger[k.seen:], p.key)
	if skipped < 0 {
		k.s.fail("%s received %s out of its place", k.name, p.key)
	}
	if skipped != k.told {
		k.s.fail("%s received %s after a hole of %d, and was told of %d",
			k.name, p.key, skipped, k.told)
	}
	if skipped > 0 {
		k.s.totals["hole told in place"]++
	}
	k.seen += skipped + 1
	k.told = 0
}

// simLevels are the levels of the log, in rising order.
var simLevels = []string{"debug", "info", "warn", "error"}

// listen has the client ask for log lines.
func (k *simClient) listen() {
	set := uint8(1 + k.s.random.IntN(15))
	var names []string
	for i, name := range simLevels {
		if set&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	b, _ := json.Marshal(map[string]any{"levels": names})
	k.call("system.log.subscribe", string(b), func(c *simCall) {
		more := (&system.LogFilter{}).Charge() - k.s.n.logStream.Filter(&k.Conn.service).Charge()
		if c.refused = k.refusesMemory(more); c.refused == "" {
			k.levels |= set
		}
	})
}

// logged expects one line to be delivered.
func (s *simulation) logged(line logging.Line, to []*service) {
	for _, t := range to {
		for _, k := range s.places {
			if k != nil && &k.Conn.service == t {
				k.owed++
			}
		}
	}
	s.say("the node logs %q to %d", line.Message, len(to))
}

func (k *simClient) noteLine(m *testMessage) {
	var line struct{ Level, Message, Module, Timestamp string }
	err := json.Unmarshal(m.payload, &line)
	if err != nil || line.Message == "" || line.Module == "" || line.Timestamp == "" {
		k.s.fail("%s: a log line %q", k.name, m.payload)
	}
	for i, name := range simLevels {
		if name == line.Level && k.levels&(1<<i) == 0 {
			k.s.fail("%s did not ask for %s", k.name, m.payload)
		}
	}
	k.got++
	k.s.totals["log line"]++
}

// noteTaken remembers a well-formed message that the node takes.
func (k *simClient) noteTaken(h *codec.Header) {
	k.takes = append(k.takes, fmt.Sprintf("%s %s %s", h.Action, h.Topic, h.RequestID))
}

// noteHeard counts what the audit is to know of.
func (k *simClient) noteHeard(name string) {
	if name != system.MessageTopic {
		k.heard++
	}
}

// greetAuditor has one client read the audit from the beginning, and never let it wait.
func (s *simulation) greetAuditor() {
	if !s.audits {
		return
	}
	s.connect(0)
	k := s.places[0]
	k.single = false
	payload := `{"action":"publish","topic":"system.message"}`
	k.call("system.topic.subscribe", payload, func(*simCall) {
		k.subs[0] = append(k.subs[0], simSub{pattern: system.MessageTopic})
		k.auditor, s.auditor = true, k
	})
	k.deliver(len(k.outbox))
	s.settle()
	if s.audits = k.auditor; s.audits != s.n.audited() {
		s.fail("the audit is subscribed = %v, read = %v", s.audits, s.n.audited())
	}
	k.takes = nil
}

// audited judges one message of the audit.
func (s *simulation) audited(k *simClient, m *testMessage) {
	var a struct {
		From, To, MaskedID string
		Message            struct {
			Header struct{ Action, Topic, Version, RequestID string }
			// The payload is JSON of any kind.
			Payload  json.RawMessage
			Encoding string
		}
	}
	err := json.Unmarshal(m.payload, &a)
	if err != nil || (a.From == "") == (a.To == "") || !k.auditor {
		s.fail("%s: an audit of %.200q", k.name, m.payload)
	}
	s.totals["audited"]++
	h := a.Message.Header
	if a.From != "" {
		taken := strings.TrimSpace(h.Action + " " + h.Topic + " " + h.RequestID)
		s.auditFrom[a.From] = append(s.auditFrom[a.From], taken)
		return
	}
	s.auditTo[a.To]++
	if strings.HasPrefix(strings.ToLower(h.Topic), "system.") || h.Action == "response" {
		return
	}
	var payload string
	_ = json.Unmarshal(a.Message.Payload, &payload)
	if a.Message.Encoding == "base64" {
		b, _ := base64.StdEncoding.DecodeString(payload)
		payload = string(b)
	}
	key := messageKey([]byte(payload))
	p, r := s.publishes[key], s.requests[key]
	if p == nil && r == nil || p != nil && a.MaskedID != p.id || r != nil && a.MaskedID != r.id {
		s.fail("the audit says that %s had the ID %q: %.300s", key, a.MaskedID, m.payload)
	}
}

func (k *simClient) lossyAuditor() bool { return k.auditor && k.gaps > 0 }

// checkAudit holds that the audit has told everything that was taken and sent, unless its reader
// lost some of it.
func (s *simulation) checkAudit() {
	if !s.audits || !s.auditor.alive() {
		return
	}
	for _, k := range s.sessions {
		from, to := s.auditFrom[k.id.String()], s.auditTo[k.id.String()]
		if s.auditor.gaps == 0 {
			for i := range max(len(from), len(k.takes)) {
				if i >= len(from) || i >= len(k.takes) || from[i] != strings.TrimSpace(k.takes[i]) {
					s.fail("%s: of message %d the audit differs: %d were taken, %d audited",
						k.name, i, len(k.takes), len(from))
				}
			}
		}
		if len(from) > len(k.takes) {
			s.fail("%s: the audit says that %d messages were taken, those were %d",
				k.name, len(from), len(k.takes))
		}
		if k == s.auditor || !k.alive() || k.unsteady {
			continue
		}
		if to > k.heard || s.auditor.gaps == 0 && to < k.heard {
			s.fail("%s: the audit says that it was sent %d messages, it received %d",
				k.name, to, k.heard)
		}
	}
}
