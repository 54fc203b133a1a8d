package broker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"mbserver/codec"
	"mbserver/topic"
)

// crossClient is one session of a client of a simulated cluster, and what is known of it.
type crossClient struct {
	*testClient
	s       *clusterSim
	node    *simNode
	name    string
	seq     int
	greeted bool
	gone    bool

	serves, served []*crossSub // subscriptions for requests: of now, and ever
	most           int         // requests at a time; 0: any number
	mostAt         int64       // since when

	subs       []*crossSub
	owed       map[string]bool // publishes that it must get: they are at its node
	may        map[string]bool // that it may get, because its subscription has ended meanwhile
	due        map[string]bool // of other nodes, that it must get or be told of
	last       map[string]int  // by publisher: number of the last one
	strays     int             // errors to publishes without ID, that must come
	told       int             // publishes of other nodes that it was told were lost
	lostLeast  int             // that it must have been told of
	lostBefore int             // by its node, before it came

	ends crossEnds
}

// crossSub is one subscription.
type crossSub struct {
	pattern string
	version uint64 // of its node's interest
	full    bool   // answered, and all have confirmed
}

// crossCall is a request to the node.
type crossCall struct {
	from    *crossClient
	topic   string
	sub     *crossSub // that it asks for
	at      int64
	answers int
}

var (
	crossTopics   = []string{"a", "a.b", "A.b", "a.b.c", "x.y", "q", "q"}
	crossPatterns = []string{"a", "a.b", "a.#", "+.b", "x.y", "x.+.#", "q", "#"}
)

// operate has clients do something, now and then.
func (s *clusterSim) operate() {
	if !s.ops {
		return
	}
	s.after(s.random.Int64N(25), s.operate)
	i := s.random.IntN(len(s.places))
	k := s.places[i]
	if k == nil {
		if n := s.nodes[s.random.IntN(len(s.nodes))]; n != nil && n.open && !n.still {
			s.places[i] = s.connect(n)
		}
		return
	}
	if k.node.still {
		return
	}
	switch dice := s.random.IntN(100); {
	case dice < 8 && *clusterRequests:
		k.serve(servePatterns[s.random.IntN(len(servePatterns))])
	case dice < 11:
		if len(k.serves) > 0 {
			k.unserve(k.serves[s.random.IntN(len(k.serves))])
		}
	case dice < 30 && *clusterRequests:
		for range 1 + s.random.IntN(3) {
			k.ask(askedTopics[s.random.IntN(len(askedTopics))], 30+s.random.Int64N(1200))
		}
	case dice < 50:
		k.subscribe(crossPatterns[s.random.IntN(len(crossPatterns))])
	case dice < 58:
		if len(k.subs) > 0 {
			k.unsubscribe(k.subs[s.random.IntN(len(k.subs))])
		}
	case dice < 61:
		kind := topic.Kind(s.random.IntN(2))
		if list := *k.listOf(kind); len(list) > 0 {
			k.withdraw(list[s.random.IntN(len(list))], kind)
		}
	case dice < 96:
		for range 1 + s.random.IntN(4) {
			k.publish(crossTopics[s.random.IntN(len(crossTopics))], s.chance(60))
		}
	default:
		k.bye()
		s.places[i] = nil
	}
}

func (s *clusterSim) connect(n *simNode) *crossClient {
	k := &crossClient{
		testClient: n.connect(s.random.IntN(s.loops), TransportTCP), s: s, node: n,
		name: fmt.Sprintf("c%d", len(s.sessions)), owed: make(map[string]bool),
		may: make(map[string]bool), due: make(map[string]bool), last: make(map[string]int),
		lostBefore: n.lostIdle, ends: crossEnds{revoked: make(map[string]int)},
	}
	s.sessions = append(s.sessions, k)
	s.say("%s connects to loop %d of %s", k.name, k.loop.index, n.name)
	if s.ops && s.chance(20) {
		k.lend(50 + s.random.Int64N(2000)) // less than until everybody is asked
	}
	return k
}

// bye ends the connection from the client's side.
func (k *crossClient) bye() {
	k.s.say("%s hangs up", k.name)
	k.lose()
}

// lose is bye for one whose node dies.
func (k *crossClient) lose() {
	k.subs, k.serves, k.gone = nil, nil, true
	k.hangUp(true)
}

// wants says whether the client is subscribed to a topic.
func (k *crossClient) wants(name string) bool {
	return slices.ContainsFunc(k.subs, func(sub *crossSub) bool { return sub.takes(name) })
}

func (sub *crossSub) takes(name string) bool {
	return matches(strings.Split(sub.pattern, "."), strings.Split(strings.ToLower(name), "."))
}

func (k *crossClient) call(topic, payload string, sub *crossSub) {
	id := k.s.ids.next()
	k.s.calls[id] = &crossCall{from: k, topic: topic, sub: sub, at: k.s.now}
	k.send("request:" + topic + ":1.0.0:" + id + "\n" + payload)
}

func (k *crossClient) subscribe(pattern string) {
	if slices.ContainsFunc(k.subs, func(sub *crossSub) bool { return sub.pattern == pattern }) {
		return
	}
	k.s.say("%s subscribes to %s", k.name, pattern)
	sub := &crossSub{pattern: pattern}
	k.subs = append(k.subs, sub)
	k.call("system.topic.subscribe", fmt.Sprintf(`{"action":"publish","topic":%q}`, pattern), sub)
	sub.version = k.node.plane.Version(pattern)
}

func (k *crossClient) unsubscribe(sub *crossSub) {
	k.s.say("%s unsubscribes from %s", k.name, sub.pattern)
	k.call("system.topic.unsubscribe",
		fmt.Sprintf(`{"action":"publish","topic":%q}`, sub.pattern), nil)
	k.end(&k.subs, sub)
}

func (k *crossClient) publish(topic string, acked bool) *crossPublish {
	s := k.s
	k.seq++
	p := &crossPublish{
		key: fmt.Sprintf("%s.%d", k.name, k.seq), number: len(s.publishes) + 1, from: k,
		node: k.node, loop: k.loop.index, topic: topic, at: s.now,
		delivered: make(map[*simNode]int),
	}
	head := "publish:" + topic + ":1.2.3"
	if acked {
		p.id = s.ids.next()
		head += ":" + p.id
		s.acks[p.id] = p
	}
	s.publishes[p.key] = p
	s.taken(p)
	k.send(head + "\n" + p.key + "|" + strings.Repeat("x", s.random.IntN(40)))
	// Its time counts from when its loop last looked at the clock, which was held up since.
	p.began = min(s.now, k.node.born+k.loop.time.Ms)
	s.judgeRoute(p)
	return p
}

// observe looks at what every client has received.
func (s *clusterSim) observe() {
	for i, k := range s.places { // first: others are told of what has come of it
		if k != nil && !k.gone && k.Conn.state != stateOpen {
			k.look()
			k.closed()
			s.places[i] = nil
		}
	}
	for _, k := range s.places {
		if k == nil || k.gone {
			continue
		}
		if k.checkExpiry(); len(k.sock.out) > 0 {
			k.look()
		}
		k.settleEnds()
	}
}

// look looks at what came.
func (k *crossClient) look() {
	ms, err := k.take()
	if err != nil {
		k.s.fail("%s received what is no message: %v", k.name, err)
	}
	for i := range ms {
		k.received(&ms[i])
	}
}

// received judges one message.
func (k *crossClient) received(m *testMessage) {
	s, name := k.s, string(m.Topic)
	if k.ends.told {
		s.fail("%s received %s after the end of its credentials", k.name, m.header)
	}
	switch {
	case !k.greeted:
		if k.greeted = true; m.Action != codec.Publish || name != "system.initialize" {
			s.fail("%s was greeted with %s", k.name, m.header)
		}
	case m.Action == codec.Publish && name == "system.dropped":
		var gap struct {
			Count  int
			AtMost bool
			Reason string
		}
		if json.Unmarshal(m.payload, &gap) != nil || gap.Count < 1 || !gap.AtMost ||
			gap.Reason != "cluster" {
			s.fail("%s: a gap of %q", k.name, m.payload)
		}
		s.say("%s is told of %d lost", k.name, gap.Count)
		s.totals["loss told"]++
		k.told += gap.Count
	case m.Action == codec.Publish && name == "system.topic.revoked":
		k.receivedRevoked(m)
	case m.Action == codec.Publish && name == "system.auth.expiring" && k.ends.expires != 0:
	case name == "error" && k.ends.expires != 0 &&
		bytes.Contains(m.payload, []byte(`"reason":"expired"`)):
		k.ends.told = true
	case m.Action == codec.Publish:
		k.receivedPublish(m)
	case m.Action == codec.Response:
		k.receivedAnswer(m)
	case m.Action == codec.Request:
		k.receivedRequest(m)
	default:
		s.fail("%s received %s", k.name, m.header)
	}
}

func (k *crossClient) receivedPublish(m *testMessage) {
	s := k.s
	p := s.publishes[messageKey(m.payload)]
	if p == nil {
		s.fail("%s received a publish that nobody made: %s", k.name, m.header)
	}
	if !k.owed[p.key] && !k.may[p.key] {
		s.fail("%s received %s twice, or without a subscription", k.name, p.key)
	}
	delete(k.owed, p.key)
	delete(k.may, p.key)
	delete(k.due, p.key)
	if string(m.Topic) != p.topic {
		s.fail("%s received %s as %s", k.name, p.key, m.header)
	}
	if p.number <= k.last[p.from.name] {
		s.fail("%s received %s after a later one of its publisher", k.name, p.key)
	}
	k.last[p.from.name] = p.number
	if p.node == k.node {
		s.totals["delivered here"]++
	} else {
		s.totals["delivered across"]++
	}
}

func (k *crossClient) receivedAnswer(m *testMessage) {
	s, code, reason := k.s, "", ""
	id := string(m.RequestID) //nolint:staticcheck // one text for many maps
	if e := (simError{}); json.Unmarshal(m.payload, &e) == nil {
		code = e.Error.Code
		reason, _ = e.Error.Details["reason"].(string)
	}
	switch {
	case s.byID[id] != nil:
		s.answered(k, s.byID[id], m, code, reason)
	case code == string(codec.InvalidRequestID) && s.responses[id] != nil:
		if r := s.responses[id]; r.answers == 0 && !r.from.gone && r.node.well() && k.node.well() {
			s.fail("%s: the answer to %s was refused", k.name, r.key)
		}
		s.totals["response refused"]++
	case s.acks[id] != nil:
		s.acknowledged(k, s.acks[id], m, code)
	case s.calls[id] != nil:
		c := s.calls[id]
		c.answers++
		success := bytes.HasPrefix(m.payload, []byte(`{"status":"success"`))
		if c.from != k || c.answers > 1 || string(m.Topic) != c.topic || !success {
			s.fail("%s: a wrong answer to %s: %s %s", k.name, c.topic, m.header, m.payload)
		}
		if c.sub != nil {
			s.subscribed(c, m.payload)
		}
	case code == string(codec.NoRouteFound): // to a publish without ID
		if k.strays--; k.strays < 0 {
			s.fail("%s is told of no route that it did not need", k.name)
		}
	default:
		s.fail("%s received an answer to nothing: %s %.100s", k.name, m.header, m.payload)
	}
}

// splitMessage cuts a message after its header line.
func splitMessage(message []byte) (header, payload []byte, ok bool) {
	return bytes.Cut(message, []byte{'\n'})
}
