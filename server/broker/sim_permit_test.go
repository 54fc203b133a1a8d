package broker

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"mbserver/codec"
	"mbserver/server/auth"
	"mbserver/server/config"
	"mbserver/server/permit"
	"mbserver/topic"
)

// permitSim is a node whose clients have identities, and whose permissions, tokens and clock change
// while they publish, ask and subscribe at random, and operators act on them. The law: nobody gets
// and nobody sends what no rules permit that may be in force for him; and what all of them permit
// is not refused. Half of the nodes ask nobody. For what operators do: sim_operate_test.go.
type permitSim struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	n      *testNode
	open   bool // the node asks nobody: there are no permissions
	trace  []string

	clients []*permitClient
	tokens  map[string]string // by identity
	expires map[string]int64  // Unix ms; of tokens that end
	now     policyOf          // in force, as far as everybody has confirmed
	next    *policyOf         // is being put in force
	reload  *permitReload
	ids     int
	sent    map[string]*permitClient // payloads of publishes and requests that were forbidden
	asked   map[string]*permitAsked  // by request ID
	totals  map[string]int
}

// policyOf is what a naive reading needs to know of permissions.
type policyOf struct {
	roles map[string]permit.Role
	named map[string]string // role by identity
	*Authority
}

type permitReload struct {
	phase, told int
	words       words
}

// permitAsked is a message that will be answered.
type permitAsked struct {
	identity string
	verb     permit.Verb
	name     string
	always   bool // all rules since have permitted it
}

type permitClient struct {
	*testClient
	identity string // "" while it is unknown
	raw      []byte // of a frame that has begun to come
	partial  bool   // one had when the rules changed
	waiting  int    // requests up to this number may wait in its ring since then: they are its own
	gone     bool

	simActedOn
}

var permitTopics = []string{"a", "b", "a.b", "a.c", "b.c", "a.b.c", "b.b.b"}
var permitPatterns = append([]string{"#", "a.#", "b.#", "+.b", "+.+", "a.+", "a.b.+", "+"},
	permitTopics...)

func newPermitSim(t *testing.T, seed uint64) *permitSim {
	s := &permitSim{
		t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 4)),
		tokens: make(map[string]string), expires: make(map[string]int64),
		sent: make(map[string]*permitClient), asked: make(map[string]*permitAsked),
		totals: make(map[string]int),
	}
	for _, identity := range []string{"anna", "bob", "carl"} {
		s.tokens[identity] = "token-" + identity
	}
	s.n = newTestNode(t, seed, 1+s.random.IntN(3), func(cfg *config.Config) {
		cfg.Connection.OutboundMessages = []int{8, 1000}[s.random.IntN(2)]
		cfg.Max.OutstandingPerService = 1
		cfg.Request.TimeoutDefault = time.Minute
		cfg.Auth.Timeout = time.Second
		cfg.WS.Deflate.MinBytes = 1
		if s.random.IntN(2) == 0 {
			cfg.Connection.Backpressure = config.BackpressurePause
		}
	})
	s.n.Desk.now = func() time.Time { return time.UnixMilli(testEpoch + s.n.ms) }
	s.n.Desk.do = func(f func()) { f() }
	if s.open = seed%2 == 0; !s.open {
		s.now = s.anyPolicy()
		s.n.authority.Store(s.now.Authority)
	}
	return s
}

// anyPolicy draws roles, of which each identity has one, and tokens.
func (s *permitSim) anyPolicy() policyOf {
	p := policyOf{roles: make(map[string]permit.Role), named: make(map[string]string)}
	some := func(most int) (l []string) {
		for range s.random.IntN(most + 1) {
			l = append(l, permitPatterns[s.random.IntN(len(permitPatterns))])
		}
		return l
	}
	src := permit.Source{Roles: p.roles, Identities: make(map[string][]string)}
	for _, name := range []string{"r1", "r2", "r3"} {
		var r permit.Role
		for v := range r.Verbs {
			if r.Verbs[v].Allow = some(4); len(r.Verbs[v].Allow) > 0 {
				r.Verbs[v].Deny = some(1)
			}
		}
		p.roles[name] = r
	}
	var known []auth.Token
	for _, identity := range []string{"anna", "bob", "carl"} {
		p.named[identity] = fmt.Sprint("r", 1+s.random.IntN(3))
		src.Identities[identity] = []string{p.named[identity]}
		if s.random.IntN(8) == 0 {
			continue // its token is not valid any more
		}
		token := auth.Token{Identity: identity, SHA256: auth.Hash(s.tokens[identity])}
		delete(s.expires, identity)
		if s.random.IntN(3) == 0 {
			s.expires[identity] = testEpoch + s.n.ms + 1000 + int64(s.random.IntN(5000))
			token.Expires = time.UnixMilli(s.expires[identity])
		}
		known = append(known, token)
	}
	policy, err := permit.Compile(src)
	if err != nil {
		s.t.Fatal(err)
	}
	verifier, err := auth.New(auth.Source{Tokens: known})
	if err != nil {
		s.t.Fatal(err)
	}
	p.Authority = &Authority{Verifier: verifier, Policy: policy, Required: true}
	return p
}

// may is protocol §10 read literally.
func (p *policyOf) may(identity string, v permit.Verb, name string) bool {
	lists := p.roles[p.named[identity]].Verbs[v]
	matches := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(text string) bool {
			pattern, _ := topic.ParsePattern(text)
			return pattern.Matches([]byte(name))
		})
	}
	return identity != "" && matches(lists.Allow) && !matches(lists.Deny)
}

// possible says whether some rules in force permit it, certain whether all do.
func (s *permitSim) possible(identity string, v permit.Verb, name string) bool {
	return s.open || s.now.may(identity, v, name) || s.next != nil && s.next.may(identity, v, name)
}

func (s *permitSim) certain(identity string, v permit.Verb, name string) bool {
	return s.open ||
		s.now.may(identity, v, name) && (s.next == nil || s.next.may(identity, v, name))
}

func (s *permitSim) say(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf("%6d ms  ", s.n.ms)+fmt.Sprintf(format, args...))
}

func (s *permitSim) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s\n%s\n\nreplay with: %s", strings.Join(s.trace[max(0, len(s.trace)-60):], "\n"),
		fmt.Sprintf(format, args...), replay("TestPermitSimulation", s.seed))
}

// act is one random step.
func (s *permitSim) act() {
	r := s.random
	var c *permitClient
	if len(s.clients) > 0 {
		c = s.clients[r.IntN(len(s.clients))]
	}
	switch k := r.IntN(100); {
	case c == nil || k < 6 && len(s.clients) < 8:
		t := []Transport{TransportTCP, TransportWS}[r.IntN(2)]
		deflate := t == TransportWS && r.IntN(2) == 0
		c := &permitClient{testClient: s.n.connectAs(r.IntN(len(s.n.loops)), t, deflate)}
		s.clients = append(s.clients, c)
		s.say("%d connects", len(s.clients)-1)
	case k < 14:
		s.identify(c)
	case k < 34:
		s.subscribe(c)
	case k < 60:
		s.publish(c)
	case k < 70:
		s.request(c)
	case k < 74:
		s.say("%d stalls", s.index(c))
		c.sock.unlimited, c.sock.budget = false, r.IntN(200)
	case k < 80:
		c.unblock(r.IntN(300), r.IntN(2) == 0)
	case k < 83:
		s.beginReload()
	case k < 85 && !c.gone:
		s.say("%d hangs up", s.index(c))
		c.hangUp(true)
		c.gone = true
	case k < 88:
		s.n.advance(int64(r.IntN(400)))
	case k < 92 && !c.gone:
		s.operate(c)
	default:
		i := r.IntN(len(s.n.loops))
		s.n.run(i)
		s.n.backgroundJob()
	}
}

func (s *permitSim) index(c *permitClient) int { return slices.Index(s.clients, c) }

func (s *permitSim) id() string {
	s.ids++
	return fmt.Sprintf("00000000-0000-0000-0000-%012d", s.ids)
}

// identify sends a token: its own identity's, another's, or a wrong one.
func (s *permitSim) identify(c *permitClient) {
	who := []string{"anna", "bob", "carl", "nobody"}[s.random.IntN(4)]
	if c.identity != "" && s.random.IntN(4) > 0 {
		who = c.identity
	}
	s.say("%d says it is %s", s.index(c), who)
	c.send("request:system.auth:1.0.0:" + s.id() + "\n" + `{"token":"token-` + who + `"}`)
}

func (s *permitSim) subscribe(c *permitClient) {
	pattern := permitPatterns[s.random.IntN(len(permitPatterns))]
	action := []string{"publish", "request"}[s.random.IntN(2)]
	more := []string{"", `,"overflow":"drop-oldest"`, `,"conflate":true`}[s.random.IntN(3)]
	if action == "request" {
		more = ""
	} else {
		c.widen(pattern)
	}
	s.say("%d subscribes %s %s%s", s.index(c), action, pattern, more)
	c.send("request:system.topic.subscribe:1.0.0:" + s.id() + "\n" +
		`{"action":"` + action + `","topic":"` + pattern + `"` + more + `}`)
}

// payload is a message's; of one that no rules permit it must never be seen again.
func (s *permitSim) payload(c *permitClient, v permit.Verb, name string) string {
	s.ids++
	p := fmt.Sprintf("p%d.", s.ids)
	if s.random.IntN(3) == 0 {
		p += strings.Repeat("y", 60) // which is less when compressed
	}
	if s.random.IntN(10) == 0 {
		p += strings.Repeat("x", 5000)
	}
	who, known := s.who(c)
	if known && (s.silent(c) || !s.possible(who, v, name)) {
		s.sent[p] = c
	}
	return p
}

// who is who a client is to the node, if what it sends now is taken now.
func (s *permitSim) who(c *permitClient) (identity string, known bool) {
	if st := c.Conn.standing; st != nil && st.grant != nil {
		identity = st.grant.Identity
	}
	return identity, c.paused == nil
}

func (s *permitSim) identity(c *permitClient) string {
	who, _ := s.who(c)
	return who
}

// ask notes a message with an ID.
func (s *permitSim) ask(c *permitClient, v permit.Verb, name string) (id string) {
	id = s.id()
	who, known := s.who(c)
	s.asked[id] = &permitAsked{who, v, name, known && s.certain(who, v, name)}
	return id
}

func (s *permitSim) publish(c *permitClient) {
	name := permitTopics[s.random.IntN(len(permitTopics))]
	s.say("%d publishes on %s", s.index(c), name)
	id := ""
	if s.random.IntN(2) == 0 {
		id = ":" + s.ask(c, permit.Publish, name)
	}
	c.send("publish:" + name + ":1.0.0" + id + "\n" + s.payload(c, permit.Publish, name))
}

func (s *permitSim) request(c *permitClient) {
	name := permitTopics[s.random.IntN(len(permitTopics))]
	s.say("%d asks on %s", s.index(c), name)
	id := s.ask(c, permit.Request, name)
	c.send("request:" + name + ":1.0.0:" + id + "\n" + s.payload(c, permit.Request, name))
}

// beginReload begins to put other rules in force.
func (s *permitSim) beginReload() {
	if s.reload != nil || s.open {
		return
	}
	next := s.anyPolicy()
	s.next, s.reload = &next, &permitReload{phase: 1}
	for _, a := range s.asked {
		a.always = a.always && next.may(a.identity, a.verb, a.name)
	}
	s.say("a reload begins")
	s.n.authority.Store(next.Authority)
	s.pass(func(l *Loop, done func()) *pass {
		now := time.UnixMilli(testEpoch + s.n.ms)
		return &pass{authority: next.Authority, now: now, told: done}
	})
}

// pass has every loop make a pass.
func (s *permitSim) pass(of func(l *Loop, done func()) *pass) {
	s.reload.told = 0
	for _, l := range s.n.loops {
		l.call(func(l *Loop) { l.beginPass(of(l, func() { s.reload.told++ })) })
	}
}

// goOn takes a reload as far as it has come, as Reauthorise does.
func (s *permitSim) goOn() {
	r := s.reload
	switch {
	case r == nil:
	case r.phase == 1 && r.told == len(s.n.loops):
		r.phase, r.words = 2, s.n.sendWords(func(*Loop) {})
	case r.phase == 2 && len(r.words) == cap(r.words):
		r.phase = 3
		s.pass(func(_ *Loop, done func()) *pass {
			return &pass{authority: s.next.Authority, again: true, told: done}
		})
	case r.phase == 3 && r.told == len(s.n.loops):
		r.phase, r.told = 4, 0
		for _, l := range s.n.loops {
			l.call(func(l *Loop) { l.inPieces(func() bool { r.told++; return true }) })
		}
	case r.phase == 4 && r.told == len(s.n.loops):
		s.look() // what was written before may be what was permitted
		s.now, s.next, s.reload = *s.next, nil, nil
		s.say("a reload is done")
		s.totals["reload"]++
		for _, c := range s.clients {
			c.partial = len(c.raw) > 0
			if c.waiting = 0; !c.out.Empty() {
				c.waiting = s.ids
			}
		}
	}
}

// look takes what has come to the clients, and holds it to the law.
func (s *permitSim) look() {
	for _, c := range s.clients {
		c.follow(c.sock.out)
		ms, err := c.take()
		if err != nil && !c.gone {
			s.fail("%d: %v", s.index(c), err)
		}
		for _, m := range ms {
			s.judge(c, &m)
			c.partial = false
		}
		if c.sock.violation != "" {
			s.fail("%d: %s", s.index(c), c.sock.violation)
		}
	}
}

// follow keeps what has come of a frame that is not whole.
func (c *permitClient) follow(b []byte) {
	for c.raw = append(c.raw, b...); len(c.raw) > 0; {
		head, n := 4, 0
		switch {
		case c.transport == TransportTCP && len(c.raw) >= 4:
			n = int(binary.BigEndian.Uint32(c.raw))
		case c.transport == TransportTCP || len(c.raw) < 4:
			return
		case c.raw[1] < 126:
			head, n = 2, int(c.raw[1])
		case c.raw[1] == 126:
			n = int(binary.BigEndian.Uint16(c.raw[2:]))
		}
		if len(c.raw) < head+n {
			return
		}
		c.raw = c.raw[head+n:]
	}
}

func (s *permitSim) judge(c *permitClient, m *testMessage) {
	name, payload := strings.ToLower(string(m.Topic)), string(m.payload)
	if m.kind != codec.Binary && m.kind != codec.Text {
		return
	}
	s.say("%d gets %s %.60s", s.index(c), m.header, payload)
	if who := s.sent[payload]; who != nil {
		s.fail("%d got what %d (%q) may not send", s.index(c), s.index(who), who.identity)
	}
	system := topic.IsSystem([]byte(name))
	switch m.Action {
	case codec.Publish:
		switch {
		case name == "system.topic.revoked":
			s.totals["revoked"]++
		case name == "system.auth.expiring":
			s.totals["expiring"]++
		case system || c.partial:
		case !s.possible(s.identity(c), permit.Subscribe, name):
			s.fail("%d (%q) got a publish on %s", s.index(c), c.identity, name)
		case c.lacks(name):
			s.fail("%d got a publish on %s, of which its subscription had ended", s.index(c), name)
		default:
			s.totals["publish"]++
		}
	case codec.Request:
		var number int
		_, _ = fmt.Sscanf(payload, "p%d.", &number)
		if !system && !c.partial && number > c.waiting &&
			!s.possible(s.identity(c), permit.Respond, name) {
			s.fail("%d (%q) got a request on %s", s.index(c), c.identity, name)
		}
		s.judgeRequest(c, number, system)
		if !system {
			s.totals["request"]++
			if s.random.IntN(3) > 0 {
				c.send("response:" + name + ":1.0.0:" + string(m.RequestID) + "\nok")
			}
		}
	case codec.Response:
		s.answer(c, string(m.RequestID), payload)
	}
}

// answer holds an answer to the law, and learns from it who the client is.
func (s *permitSim) answer(c *permitClient, id, payload string) {
	if identity, ok := strings.CutPrefix(payload, `{"status":"success","identity":"`); ok {
		identity, _, _ = strings.Cut(identity, `"`)
		if c.identity != "" && c.identity != identity {
			s.fail("%d was %s and is %s", s.index(c), c.identity, identity)
		}
		c.identity = identity
		s.totals["identified"]++
		return
	}
	for _, reason := range []string{"expired", "revoked", "required", "invalid", "identity"} {
		if strings.Contains(payload, `"reason":"`+reason+`"`) {
			s.totals[reason]++
		}
	}
	s.judgeOrder(c, payload)
	if !strings.Contains(payload, `"FORBIDDEN"`) || strings.Contains(payload, `"reason"`) {
		return
	}
	s.totals["forbidden"]++
	if a := s.asked[id]; a != nil && a.always {
		s.fail("%d (%s) may %v on %s and was refused", s.index(c), a.identity, a.verb, a.name)
	}
}

func (s *permitSim) run(steps int) {
	resetFault()
	for range steps {
		s.act()
		s.look()
		s.goOn()
		s.settleOrders()
		for _, f := range s.n.faults {
			s.fail("%s", f)
		}
	}
	for _, c := range s.clients {
		c.unblock(0, true)
	}
	for range 4 {
		s.n.settle()
		s.look()
		s.goOn()
	}
	if s.reload != nil {
		s.fail("a reload does not end: phase %d", s.reload.phase)
	}
	s.endOrders()
	for _, c := range s.clients {
		if !c.gone {
			c.hangUp(true)
		}
	}
	s.n.settle()
	for _, l := range s.n.loops {
		if t := &l.standings; t.holders != 0 || len(t.verdicts) != 0 || len(t.fresh) != 0 {
			s.fail("loop %d remembers %d verdicts of nobody", l.index, len(t.verdicts))
		}
		if l.charge != 0 {
			s.fail("loop %d is charged %d bytes for nothing", l.index, l.charge)
		}
	}
}

func TestPermitSimulation(t *testing.T) {
	if *simSeed != 0 {
		s := newPermitSim(t, *simSeed)
		s.run(*simSteps)
		t.Log("\n" + strings.Join(s.trace, "\n"))
		return
	}
	total := make(map[string]int)
	for seed := range uint64(*simSeeds) {
		s := newPermitSim(t, seed+1)
		s.run(*simSteps)
		for what, n := range s.totals {
			total[what] += n
		}
	}
	t.Logf("%d seeds: %v", *simSeeds, total)
	for _, what := range []string{
		"publish", "request", "identified", "forbidden", "reload", "revoked", "expiring", "expired",
		"required", "invalid", "identity", "kicked", "muted", "unsubscribed", "let speak",
	} {
		if *simSeeds >= 100 && total[what] == 0 {
			t.Errorf("no simulation has seen: %s", what)
		}
	}
}
