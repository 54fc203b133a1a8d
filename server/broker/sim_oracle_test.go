package broker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"mbserver/codec"
)

// oracle is a broker that only counts: what it expects is compared to what the clients see.
type oracle struct {
	s          *simulation
	heartbeats bool
	evictions  bool
	smallInbox bool
	perService int32 // requests at a time of who has not said how many

	publishes map[string]*simPublish // by key
	requests  map[string]*simRequest // by key
	byID      map[string]*simRequest
	acks      map[string]*simPublish // by request ID
	calls     map[string]*simCall
	masked    map[string]string // masked ID to the key of its message
	delivered []*simRequest
	load      map[*simClient]int32 // outstanding before the present message, of those with room
	waiting   int64                // requests that waited then
}

// simPublish is one publish that the node has taken.
type simPublish struct {
	from               *simClient
	topic, version, id string
	key, payload       string
	number             int
	targets            map[*simClient]bool
	received           int
	answers            int
	dropped            int
	since              int64 // the earliest loop ms at which it may have begun to wait
	patient            bool  // nobody drops the oldest, conflates, or had lost something already
}

// simRequest is one request that the node has taken.
type simRequest struct {
	from               *simClient
	topic, version, id string
	key, payload       string
	timeout            int64
	deadline           int64        // loop ms at which its timer fires
	candidates         []*simClient // who might get it
	chosen             []*simClient // who must get it, when that is known
	target             *simClient
	masked             string
	right              string // the target's first response
	rightAt            int64
	answers            int
	outcome            string // "answer", or the error's code and reason
	passed             int    // "error:" answers to a request without ID
	owed               bool   // its requester has ended its stream, and is owed the answer
}

// simCall is one request on a system topic.
type simCall struct {
	from    *simClient
	topic   string
	answers int
	changes uint64 // as of when it was taken
	refused string // the reason for which it must be
}

func (o *oracle) init(s *simulation) {
	o.s = s
	o.publishes, o.requests = make(map[string]*simPublish), make(map[string]*simRequest)
	o.byID, o.acks = make(map[string]*simRequest), make(map[string]*simPublish)
	o.calls, o.masked = make(map[string]*simCall), make(map[string]string)
}

// matches is protocol §3 read aloud.
func matches(pattern, name []string) bool {
	switch {
	case len(pattern) == 0:
		return len(name) == 0
	case pattern[0] == "#":
		return true
	case len(name) == 0:
		return false
	}
	return (pattern[0] == "+" || pattern[0] == name[0]) && matches(pattern[1:], name[1:])
}

// wants says whether the session is subscribed to topic, and its highest priority.
func (k *simClient) wants(kind int, topic string) (best float64, ok bool) {
	for _, s := range k.subs[kind] {
		if matches(strings.Split(s.pattern, "."), strings.Split(strings.ToLower(topic), ".")) {
			if !ok || s.priority > best {
				best = s.priority
			}
			ok = true
		}
	}
	return best, ok
}

// before remembers what a choice of target is judged by.
func (o *oracle) before() {
	o.load, o.waiting = make(map[*simClient]int32), o.s.n.queued.Load()
	for _, k := range o.s.places {
		if k != nil && k.hasRoom() {
			o.load[k] = k.outstanding.Load()
		}
	}
}

// hasRoom says whether the client may be given one more request.
func (k *simClient) hasRoom() bool {
	limit := k.limit
	if limit == 0 {
		limit = k.s.perService
	}
	return k.listed() && !k.marked(markStalled) && (limit == 0 || k.outstanding.Load() < limit)
}

// published applies a publish that the node has taken.
func (o *oracle) published(p *simPublish) {
	o.publishes[p.key] = p
	p.targets = make(map[*simClient]bool)
	p.since = o.s.earliest()
	p.patient = len(o.s.n.loops) == 1 // what other loops know by then is not known
	for _, k := range o.s.places {
		if k != nil && k.listed() {
			if _, ok := k.wants(0, p.topic); ok {
				p.targets[k] = true
				k.owed++
				k.ledger = append(k.ledger, p.key)
				p.patient = p.patient && !k.loose && k.gap == nil
			}
		}
	}
	o.s.say("%s publishes %s on %s to %d", p.from.name, p.key, p.topic, len(p.targets))
	switch {
	case p.id != "":
		o.acks[p.id] = p
	case len(p.targets) == 0:
		p.from.strays++
	}
}

// requested applies a request that the node has taken.
func (o *oracle) requested(r *simRequest) {
	o.requests[r.key] = r
	r.deadline = r.from.loop.time.Ms + r.timeout + 1
	best, least, going := 0.0, int32(0), false
	for _, k := range o.s.places {
		if k == nil || !k.listed() {
			continue
		}
		priority, ok := k.wants(1, r.topic)
		if !ok {
			continue
		}
		r.candidates = append(r.candidates, k)
		n, room := o.load[k]
		due := k.marked(markDue)
		if !room || o.waiting > 0 || len(r.chosen) > 0 && due && !going {
			continue
		}
		switch {
		case len(r.chosen) == 0 || going && !due || priority > best ||
			priority == best && n < least:
			r.chosen, best, least, going = []*simClient{k}, priority, n, due
		case priority == best && n == least:
			r.chosen = append(r.chosen, k)
		}
	}
	o.s.say("%s requests %s on %s of %d", r.from.name, r.key, r.topic, len(r.candidates))
	switch {
	case r.id != "":
		o.byID[r.id] = r
	case len(r.candidates) == 0:
		r.from.strays++
	default:
		r.from.mayStray++
	}
}

// responded applies a response that the node has taken; r is nil when nobody was asked.
func (o *oracle) responded(k *simClient, r *simRequest, masked, payload string) {
	k.responses[masked]++
	o.s.say("%s responds to %s", k.name, masked)
	if r != nil && r.target == k && r.right == "" {
		r.right, r.rightAt = payload, k.loop.time.Ms
		r.owed = r.id != "" && r.from.awaits(r)
	}
}

// observe looks at what every client has received, and at who is gone.
func (s *simulation) observe() {
	for i := range s.places {
		s.observePlace(i)
	}
}

func (s *simulation) observePlace(i int) {
	k := s.places[i]
	if k == nil {
		return
	}
	k.choke()
	if !k.gone && !k.listed() {
		k.gone, k.goneAt = true, s.n.ms
	}
	messages, err := k.take()
	if err != nil {
		s.fail("%s received what is no message: %v", k.name, err)
	}
	for i := range messages {
		s.received(k, &messages[i])
	}
	switch {
	case k.sock.violation != "":
		s.fail("%s: the socket was %s", k.name, k.sock.violation)
	case !k.alive() && !k.excused && !k.starved() && !k.shed() && !k.silentTooLong() &&
		!k.sentAway():
		s.fail("%s was closed for no reason", k.name)
	}
	k.checkParted()
	switch {
	case k.sock.closed:
		if !k.ended {
			s.totals["cut by the node"]++
			s.say("%s was cut", k.name)
		}
		k.ended = true
		s.places[i] = nil
	case k.sock.writeClosed && s.chance(30):
		s.totals["lingered"]++
		k.bye(false)
		if k.ended {
			s.places[i] = nil
		}
	}
}

// received judges one message that a client was given.
func (s *simulation) received(k *simClient, m *testMessage) {
	if m.kind != codec.Binary && m.kind != codec.Text {
		k.noteClose(m) // nobody pings here
		return
	}
	name := string(m.Topic)
	k.noteHeard(name)
	switch {
	case !k.greeted:
		if k.greeted = true; m.Action != codec.Publish || name != "system.initialize" {
			s.fail("%s was greeted with %s", k.name, m.header)
		}
	case m.Action == codec.Publish && name == "system.dropped":
		var gap struct{ Count, Conflated int }
		if json.Unmarshal(m.payload, &gap) != nil || gap.Count+gap.Conflated < 1 {
			s.fail("%s: a gap of %q", k.name, m.payload)
		}
		s.say("%s is told of %d dropped", k.name, gap.Count)
		k.gaps += gap.Count + gap.Conflated
		k.told += gap.Count
		s.totals["gap told"]++
		s.totals["delivery dropped"] += gap.Count
		s.totals["delivery conflated"] += gap.Conflated
	case m.Action == codec.Request && name == "system.heartbeat":
		if !k.mute {
			k.say("response:system.heartbeat:1.0.0\n{}", true, func() {})
		}
	case name == "system.drain":
		k.noteDrain(m)
	case name == "system.flow":
		k.noteFlow(m)
	case name == "system.message":
		s.audited(k, m)
	case m.Action == codec.Response && name == "system.log":
		k.noteLine(m)
	case m.Action == codec.Publish:
		s.receivedPublish(k, m)
	case m.Action == codec.Request:
		s.receivedRequest(k, m)
	default:
		s.receivedResponse(k, m)
	}
}

// content checks that a routed message is what its sender sent, and masked.
func (s *simulation) content(k *simClient, m *testMessage, topic, version, key, payload string) {
	if string(m.Topic) != topic || string(m.Version) != version || string(m.payload) != payload {
		s.fail("%s received another message than was sent as %s: %s", k.name, key, m.header)
	}
	if k.transport == TransportWS && (m.kind == codec.Text) != utf8.ValidString(payload) {
		s.fail("%s received %s in a frame of kind %s", k.name, key, m.kind)
	}
	id := string(m.RequestID)
	if first, known := s.masked[id]; len(id) != 36 || known && first != key {
		s.fail("%s received %s with the masked ID %q, which was that of %s", k.name, key, id, first)
	}
	s.masked[id] = key
}

func messageKey(payload []byte) string {
	key, _, _ := bytes.Cut(payload, []byte("|"))
	return string(key)
}

func (s *simulation) receivedPublish(k *simClient, m *testMessage) {
	p := s.publishes[messageKey(m.payload)]
	if p == nil {
		s.fail("%s received a publish that nobody made: %s", k.name, m.header)
	}
	s.say("%s receives %s", k.name, p.key)
	if !p.targets[k] {
		s.fail("%s received %s without a subscription", k.name, p.key)
	}
	s.content(k, m, p.topic, p.version, p.key, p.payload)
	stream := p.from.name + " " + strings.ToLower(p.topic)
	if p.number <= k.last[stream] {
		s.fail("%s received %s after number %d of %s", k.name, p.key, k.last[stream], stream)
	}
	k.last[stream] = p.number
	k.checkHole(p)
	k.got++
	p.received++
	s.totals["publish delivered"]++
}

func (s *simulation) receivedRequest(k *simClient, m *testMessage) {
	r := s.requests[messageKey(m.payload)]
	if r == nil {
		s.fail("%s received a request that nobody made: %s", k.name, m.header)
	}
	s.say("%s is asked %s, masked %s", k.name, r.key, m.RequestID)
	if r.target != nil {
		s.fail("%s received %s, which %s has received", k.name, r.key, r.target.name)
	}
	if !k.served(r.topic) {
		s.fail("%s received %s without a subscription", k.name, r.key)
	}
	if r.chosen != nil && !among(r.chosen, k) {
		s.fail("%s received %s, but others came first", k.name, r.key)
	}
	if !k.unsteady && s.ranAt[k.loop.index] >= r.deadline {
		s.fail("%s received %s at %d after its deadline %d",
			k.name, r.key, s.ranAt[k.loop.index], r.deadline)
	}
	s.content(k, m, r.topic, r.version, r.key, r.payload)
	r.target, r.masked = k, string(m.RequestID)
	k.answering = append(k.answering, r)
	s.delivered = append(s.delivered, r)
}

// served says whether the session has ever been subscribed to requests on topic.
func (k *simClient) served(topic string) bool {
	for _, pattern := range k.ever {
		if matches(strings.Split(pattern, "."), strings.Split(strings.ToLower(topic), ".")) {
			return true
		}
	}
	return false
}

// among says whether k is one of ks, or one of those may have left or stalled before a request
// arrived there.
func among(ks []*simClient, k *simClient) bool {
	for _, c := range ks {
		if c == k || !c.alive() || c.unsteady {
			return true
		}
	}
	return false
}

// simError is the payload of an error.
type simError struct {
	Error struct {
		Code    string
		Details map[string]any
	}
}

func (s *simulation) receivedResponse(k *simClient, m *testMessage) {
	id := string(m.RequestID)
	code, reason := "", ""
	if e := (simError{}); json.Unmarshal(m.payload, &e) == nil {
		code = e.Error.Code
		reason, _ = e.Error.Details["reason"].(string)
	}
	s.say("%s receives %s %s %s", k.name, m.header, code, reason)
	switch {
	case string(m.Topic) == "error":
		if k.errorsGot++; code == string(codec.RateLimitExceeded) {
			k.nonsense--
		}
	case code == string(codec.RateLimitExceeded):
		k.noteLimited(id, m)
	case s.acks[id] != nil:
		s.acknowledged(k, s.acks[id], m, code)
	case s.byID[id] != nil:
		s.answered(k, s.byID[id], m, code, reason)
	case s.calls[id] != nil:
		c := s.calls[id]
		c.answers++
		success := bytes.HasPrefix(m.payload, []byte(`{"status":"success"`)) && c.refused == ""
		if success {
			s.listReceived(c, m.payload)
		} else {
			success = s.refusedCall(c, reason)
		}
		if c.from != k || c.answers > 1 || string(m.Topic) != c.topic || !success {
			s.fail("%s: a wrong answer to %s: %s %s", k.name, c.topic, m.header, m.payload)
		}
	case code == string(codec.InvalidRequestID):
		k.rejected[id]++
		s.totals["response refused"]++
		if k.rejected[id] > k.responses[id] {
			s.fail("%s: more responses to %s were refused than sent", k.name, id)
		}
	case code == string(codec.NoRouteFound) || code == string(codec.ServiceUnavailable):
		k.straysGot++
	case bytes.HasPrefix(m.payload, []byte("error:")):
		s.passedOn(k, m)
	default:
		s.fail("%s received an answer to nothing: %s %.100s", k.name, m.header, m.payload)
	}
}

// acknowledged judges the answer to a publish with an ID.
func (s *simulation) acknowledged(k *simClient, p *simPublish, m *testMessage, code string) {
	p.answers++
	if p.from != k || p.answers > 1 ||
		string(m.Topic) != p.topic || string(m.Version) != p.version {
		s.fail("%s: answer %d to %s of %s: %s", k.name, p.answers, p.key, p.from.name, m.header)
	}
	if len(p.targets) == 0 {
		s.totals["publish unrouted"]++
		if code != string(codec.NoRouteFound) {
			s.fail("%s: nobody was subscribed: %s", p.key, m.payload)
		}
		return
	}
	var ack struct {
		Status               string
		Subscribers, Dropped int
	}
	if json.Unmarshal(m.payload, &ack) != nil || ack.Status != "success" ||
		ack.Subscribers != len(p.targets) || ack.Dropped > ack.Subscribers {
		s.fail("%s: acknowledged as %s, subscribers are %d", p.key, m.payload, len(p.targets))
	}
	p.dropped = ack.Dropped
	s.checkPatience(p)
	s.totals["publish acknowledged"]++
}

// answered judges the answer to a request with an ID.
func (s *simulation) answered(k *simClient, r *simRequest, m *testMessage, code, reason string) {
	r.answers++
	if r.from != k || r.answers > 1 ||
		string(m.Topic) != r.topic || string(m.Version) != r.version {
		s.fail("%s: answer %d to %s of %s: %s", k.name, r.answers, r.key, r.from.name, m.header)
	}
	r.outcome = strings.TrimSpace(code + " " + reason)
	wrong := ""
	switch r.outcome {
	case "":
		r.outcome = "answer"
		s.totals["request answered"]++
		if r.target == nil || string(m.payload) != r.right {
			wrong = "its target did not say that"
		}
	case "TIMEOUT":
		s.totals["request timed out"]++
		if r.target == nil {
			s.totals["timed out waiting"]++
		}
		if s.n.ms < r.deadline-1 {
			wrong = fmt.Sprintf("the deadline is %d", r.deadline)
		} else if r.right != "" && r.rightAt < r.deadline {
			wrong = fmt.Sprintf("answered at %d, the deadline is %d", r.rightAt, r.deadline)
		} else if r.target != nil && r.target.gone && r.target.goneAt < r.deadline {
			wrong = "its target had left before"
		}
	case "NO_ROUTE_FOUND":
		for _, c := range r.candidates {
			if c.alive() && !c.withdrawn {
				wrong = c.name + " could have answered"
			}
		}
	case "SERVICE_UNAVAILABLE disconnected":
		s.totals["target left"]++
		if r.target != nil && r.target.alive() {
			wrong = "it is still there"
		}
		if r.target != nil && r.target.away {
			wrong = "the node has sent its service away"
		}
	case "SERVICE_UNAVAILABLE draining":
		wrong = s.refusedEarly(r)
		if r.target != nil {
			s.totals["request cut short"]++
		}
	case "SERVICE_UNAVAILABLE busy", "SERVICE_UNAVAILABLE queue_full", "SERVICE_UNAVAILABLE memory":
		if reason == "memory" && !s.memory {
			wrong = "there is memory"
		}
		s.totals["request "+reason]++
		if r.target != nil {
			wrong = "it was delivered"
		}
	case "SERVICE_UNAVAILABLE evicted":
		s.totals["request evicted"]++
		if !s.evictions {
			wrong = "there was room"
		}
	default:
		wrong = "no such answer is foreseen"
	}
	if wrong != "" {
		s.fail("%s was answered %q: %s\n%.200s", r.key, r.outcome, wrong, m.payload)
	}
}

// passedOn judges an "error:" answer to a request without ID.
func (s *simulation) passedOn(k *simClient, m *testMessage) {
	for _, r := range s.delivered {
		if r.right == string(m.payload) {
			if r.passed++; r.id != "" || r.from != k || r.passed > 1 || string(m.Topic) != r.topic {
				s.fail("%s: answer %d to %s of %s, which has the ID %q",
					k.name, r.passed, r.key, r.from.name, r.id)
			}
			return
		}
	}
	s.fail("%s received %s %.100s", k.name, m.header, m.payload)
}
