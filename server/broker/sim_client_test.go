package broker

import (
	"fmt"
	"strings"

	"mbserver/codec"
	"mbserver/server/config"
	"mbserver/server/system"
)

// simClient is one session of a simulated client, and what the oracle knows of it.
type simClient struct {
	*testClient
	s    *simulation
	name string
	seq  int

	// On its way to the node: bytes, and the messages in them.
	outbox  []byte
	sending []simSent
	arrived int  // bytes of the outbox that the node was given
	said    int  // bytes that were put there
	silent  bool // it has said what loses its framing, or goodbye

	// Oracle.
	excused   bool // it gave the node a reason to close it
	loose     bool // what it was given may be taken out again
	unsteady  bool // its socket has not always taken everything
	withdrawn bool // it has ended a subscription for requests
	gone      bool // the trie has forgotten it
	goneAt    int64
	ended     bool // its descriptor is closed
	greeted   bool
	subs      [2][]simSub // by topic.Kind: of now
	ever      []string    // patterns of which it has served requests
	limit     int32       // requests it takes at a time; 0 = any number
	owed      int         // publishes that were routed to it
	got       int
	gaps      int
	last      map[string]int // publisher and topic to the number of the last one seen
	strays    int            // errors without an ID of ours that must come
	mayStray  int            // and that may come
	straysGot int
	errors    int // malformed messages it sent
	errorsGot int
	nonsense  int            // of those, the ones that it must be told were too many
	responses map[string]int // masked ID to how many responses it sent
	rejected  map[string]int // and how many of them were refused
	answering []*simRequest  // requests that it has been given

	simFlow
	simStream
	simSilence
	simEnded
	simLeaver
}

type simSub struct {
	pattern  string
	priority float64
}

// simSent is one message on its way; end counts the bytes that the client has said by then.
type simSent struct {
	end   int
	msg   string
	apply func()
}

// alive says that the node still serves it: only then does it owe it anything.
func (k *simClient) alive() bool { return k.Conn.state == stateOpen }

// listed says that the trie still knows it.
func (k *simClient) listed() bool {
	return k.Conn.state == stateOpen || k.Conn.state == stateClosing
}

// say queues a message to be delivered; apply tells the oracle that the node takes it.
func (k *simClient) say(msg string, text bool, apply func()) {
	if k.silent {
		return
	}
	frame := k.frame([]byte(msg), text)
	k.outbox = append(k.outbox, frame...)
	k.said += len(frame)
	k.sending = append(k.sending, simSent{end: k.said, msg: msg, apply: apply})
}

// deliver lets the first n bytes of the outbox arrive, unless the node does not read them.
func (k *simClient) deliver(n int) {
	n = min(n, len(k.outbox))
	if n == 0 || k.ended || !k.Reads() {
		return
	}
	chunk := append([]byte(nil), k.outbox[:n]...)
	k.outbox = append(k.outbox[:0], k.outbox[n:]...)
	k.arrived += n
	k.s.say("%s: %d bytes arrive", k.name, n)
	k.arrive(chunk)
	k.noteSign()
	k.checkTaken()
}

// checkTaken holds that a message is taken as soon as it is whole, unless its sender is paused.
func (k *simClient) checkTaken() {
	if p := k.paused; p != nil && p.request.body != nil {
		// It is held back: who serves it is chosen when there is room again.
		var q request
		q.unpack(p.request.body.B, p.request.idLen, p.request.topicLen)
		k.s.requests[messageKey(q.payload)].chosen = nil
	}
	if k.alive() && k.paused == nil && len(k.sending) > 0 && k.sending[0].end <= k.arrived {
		k.s.fail("%s: a whole message was not taken: %.60q", k.name, k.sending[0].msg)
	}
}

// simDecoder tells the oracle of each message at the moment at which the node takes it.
type simDecoder struct {
	codec.Decoder
	k *simClient
}

func (d *simDecoder) Next(in []byte) (codec.Message, []byte, *codec.FrameError) {
	m, rest, err := d.Decoder.Next(in)
	if err == nil && (m.Kind == codec.Binary || m.Kind == codec.Text) {
		d.k.taken()
	}
	return m, rest, err
}

func (d *simDecoder) Inflate() (read, made int) { return d.Decoder.(inflating).Inflate() }

// taken applies the next message, which the node is about to dispatch, or expects it to be refused.
func (k *simClient) taken() {
	if len(k.sending) == 0 || k.sending[0].end > k.arrived {
		k.s.fail("%s: the node takes a message that it was not sent", k.name)
	}
	m := k.sending[0]
	k.sending = k.sending[1:]
	h, _, bad := codec.ParseHeader([]byte(m.msg), k.s.n.timeoutMaxMs)
	header := &h
	if bad == nil {
		k.noteTaken(header)
	} else {
		header = nil
	}
	if scope := k.s.rates.limitedBy(k, header); scope != "" {
		k.s.say("%s: a message over the limit of its %s", k.name, scope)
		if bad != nil {
			k.errors++
			k.nonsense++
			k.s.totals["nonsense limited"]++
			return
		}
		k.refused[refusal(scope, string(h.RequestID))]++
		return
	}
	k.s.before()
	m.apply()
}

var (
	simTopics   = []string{"a", "a.b", "a.b.c", "x.y", "A.b", "x.Y.z.a.b"}
	simPatterns = []string{"a", "a.b", "a.#", "+.b", "#", "A.+", "x.y", "x.+.#", "x.y.z.a.b"}
	simCalls    = []string{
		"system.heartbeat", "system.topic.list",
		"system.service.list", "system.topic.subscriptions", "system.service.subscriptions",
	}
	simOverflows = []string{
		config.OverflowDrop, config.OverflowDropOldest, config.OverflowDisconnect,
	}
)

func (k *simClient) pick(of []string) string { return of[k.s.random.IntN(len(of))] }

// speak has the client say something.
func (k *simClient) speak() {
	if k.list() {
		return
	}
	switch dice := k.s.random.IntN(100); {
	case len(k.answering) > 0 && k.s.chance(40):
		k.respond()
	case dice < 20:
		k.subscribe()
	case dice < 25:
		k.unsubscribe()
	case dice < 55:
		for range 1 + k.s.random.IntN(5) {
			k.publish()
		}
	case dice < 75 && k.s.chance(10):
		for i := range 3 + k.s.random.IntN(12) {
			k.request(fmt.Sprintf("a.b.t%d", i))
		}
	case dice < 75:
		k.request(k.pick(simTopics))
	case dice < 93:
		k.respond()
	case dice < 94:
		k.register()
	case dice < 95 && k.s.logs:
		k.listen()
	case dice < 96:
		k.call(k.pick(simCalls), "{}", func(*simCall) {})
	default:
		k.say("nonsense", true, func() { k.errors++ })
	}
}

// body returns a payload that begins with key, with or without text that only a binary frame may
// carry.
func (k *simClient) body(key string) (payload string, text bool) {
	size := k.s.random.IntN(30)
	if k.s.chance(20) || k.s.memory && k.s.chance(60) {
		size = k.s.random.IntN(k.s.n.payloadMax - 40)
	}
	text = k.s.chance(70)
	pad := "ä"
	if !text {
		pad = "\xff\n"
	}
	return key + "|" + strings.Repeat(pad, size/2), text
}

func (k *simClient) key() string {
	k.seq++
	return fmt.Sprintf("%s.%d", k.name, k.seq)
}

func (k *simClient) publish() {
	key := k.key() // counts seq up
	p := &simPublish{from: k, topic: k.pick(simTopics), version: "1.2.3", key: key, number: k.seq}
	payload, text := k.body(p.key)
	p.payload = payload
	head := "publish:" + p.topic + ":" + p.version
	if k.s.chance(50) {
		p.id = k.s.ids.next()
		head += ":" + p.id
	}
	k.say(head+"\n"+p.payload, text, func() { k.s.published(p) })
}

func (k *simClient) request(topic string) {
	r := &simRequest{from: k, topic: topic, version: "0.0.1", key: k.key()}
	payload, text := k.body(r.key)
	r.payload = payload
	r.timeout = k.s.n.timeoutDefaultMs
	head := "request:" + r.topic + ":" + r.version
	if k.s.chance(75) {
		r.id = k.s.ids.next()
		head += ":" + r.id
		if k.s.chance(50) {
			r.timeout = int64(1 + k.s.random.IntN(int(k.s.n.timeoutMaxMs)))
			head += fmt.Sprintf("::%d", r.timeout)
		}
	}
	k.say(head+"\n"+r.payload, text, func() { k.s.requested(r) })
}

// respond answers a request: rightly, twice, or one that is another's or nobody's.
func (k *simClient) respond() {
	var r *simRequest
	masked := ""
	switch dice := k.s.random.IntN(100); {
	case dice < 85 && len(k.answering) > 0:
		i := k.s.random.IntN(len(k.answering))
		r = k.answering[i]
		if !k.s.chance(15) { // otherwise it may come again
			k.answering = append(k.answering[:i], k.answering[i+1:]...)
		}
	case dice < 95 && len(k.s.delivered) > 0:
		r = k.s.delivered[k.s.random.IntN(len(k.s.delivered))]
	default:
		masked = k.s.ids.next()
	}
	head := "response:" + k.pick(simTopics) + ":1.0.0:"
	if r != nil {
		masked = r.masked
	}
	key := k.key()
	if k.s.chance(20) {
		key = "error:" + key
	}
	payload, text := k.body(key)
	k.say(head+masked+"\n"+payload, text, func() { k.s.responded(k, r, masked, payload) })
}

func (k *simClient) call(topic, payload string, apply func(c *simCall)) {
	c := &simCall{from: k, topic: topic}
	id := k.s.ids.next()
	k.say("request:"+topic+":1.0.0:"+id+"\n"+payload, true, func() {
		k.s.calls[id] = c
		c.changes = k.s.changes()
		apply(c)
	})
}

// register gives the client room for a few requests at a time.
func (k *simClient) register() {
	most := 1 + k.s.random.IntN(3)
	payload := fmt.Sprintf(`{"name":%q,"description":%q,"maxConcurrent":%d}`,
		k.name, k.s.description(), most)
	is := &system.Profile{Name: k.name, Description: k.s.description(), MaxConcurrent: most}
	k.call("system.service.register", payload, func(c *simCall) {
		c.refused = k.refusesMemory(is.Charge() - k.Conn.profile().Charge())
		if c.refused != "" {
			return
		}
		k.s.say("%s takes %d requests at a time", k.name, most)
		k.limit = int32(most)
	})
}

func simKinds(action string) []int {
	switch action {
	case "publish":
		return []int{0}
	case "request":
		return []int{1}
	}
	return []int{0, 1}
}

func (k *simClient) subscribe() {
	action, pattern := k.pick([]string{"publish", "request", "both"}), k.pick(simPatterns)
	priority := float64(k.s.random.IntN(3) - 1)
	if k.s.chance(15) {
		priority = float64(k.s.random.IntN(400)) / 4
	}
	payload := fmt.Sprintf(`{"action":%q,"topic":%q,"priority":%g`, action, pattern, priority)
	overflow, conflate := "", k.s.chance(15) && !k.s.holes && !k.s.patience
	if k.s.chance(40) && !k.s.patience {
		overflow = k.pick(simOverflows)
		if k.s.holes {
			overflow = config.OverflowDropOldest
		}
		payload += fmt.Sprintf(`,"overflow":%q`, overflow)
	}
	if conflate {
		payload += `,"conflate":true`
	}
	k.call("system.topic.subscribe", payload+"}", func(c *simCall) {
		c.refused = k.refusesSubscription(simKinds(action), pattern)
		if c.refused != "" {
			return
		}
		k.s.say("%s subscribes %s %s %g %s conflate=%v",
			k.name, action, pattern, priority, overflow, conflate)
		k.excused = k.excused || overflow == config.OverflowDisconnect
		k.loose = k.loose || conflate || overflow == config.OverflowDropOldest
		k.conflates = k.conflates || conflate
		for _, kind := range simKinds(action) {
			k.drop(kind, pattern)
			k.subs[kind] = append(k.subs[kind], simSub{strings.ToLower(pattern), priority})
			if kind == 1 {
				k.ever = append(k.ever, strings.ToLower(pattern))
			}
		}
	})
}

func (k *simClient) drop(kind int, pattern string) {
	for i, s := range k.subs[kind] {
		if s.pattern == strings.ToLower(pattern) {
			k.subs[kind] = append(k.subs[kind][:i], k.subs[kind][i+1:]...)
			return
		}
	}
}

func (k *simClient) unsubscribe() {
	action, pattern := k.pick([]string{"publish", "request", "both"}), k.pick(simPatterns)
	payload := fmt.Sprintf(`{"action":%q,"topic":%q}`, action, pattern)
	k.call("system.topic.unsubscribe", payload, func(*simCall) {
		k.s.say("%s unsubscribes %s %s", k.name, action, pattern)
		for _, kind := range simKinds(action) {
			k.drop(kind, pattern)
			k.withdrawn = k.withdrawn || kind == 1
		}
	})
}

// suffer has something happen to the client's connection.
func (k *simClient) suffer() {
	if k.auditor {
		return
	}
	switch dice := k.s.random.IntN(100); {
	case dice < 35:
		k.unsteady = true
		k.sock.unlimited, k.sock.budget = false, k.s.random.IntN(200)
		k.s.totals["stall"]++
		k.s.say("%s stalls after %d bytes", k.name, k.sock.budget)
	case dice < 60:
		n := k.s.random.IntN(3000)
		k.s.say("%s reads %d bytes", k.name, n)
		k.unblock(n, false)
		k.unsteady = true
		k.s.totals["dripping read"]++
	case dice < 80:
		k.s.say("%s reads on", k.name)
		k.unblock(0, true)
	case dice < 85:
		k.s.say("%s's connection breaks", k.name)
		k.excused, k.unsteady = true, true
		k.sock.err = errTestReset
		k.s.totals["reset"]++
	case dice < 90:
		k.excused = true
		k.bye(true)
	case dice < 95:
		k.excused = true
		k.askAndGo()
	default:
		k.vandalize()
	}
}

// bye ends the connection from the client's side.
func (k *simClient) bye(reset bool) {
	if k.ended || !reset && (!k.Reads() || k.half) {
		return // the end of a stream that is not read is not seen; a reset is
	}
	k.s.say("%s hangs up, reset = %v", k.name, reset)
	k.hangUp(reset)
	k.half, k.silent, k.outbox = true, true, nil
	k.unsteady = k.unsteady || reset
	if k.ended = k.sock.closed; !k.ended {
		k.noteEnded()
	}
}

// vandalize queues what loses the framing or, over WebSocket, says goodbye.
func (k *simClient) vandalize() {
	if k.silent {
		return
	}
	k.say("", true, func() { k.errors++ }) // an empty message is only malformed
	k.s.say("%s will lose its framing", k.name)
	k.s.totals["framing lost"]++
	k.silent, k.excused = true, true
	switch {
	case k.transport == TransportTCP:
		k.outbox = append(k.outbox, 0xff, 0xff, 0xff, 0xff, 1, 2, 3)
	case k.s.chance(50):
		bye := codec.AppendClosePayload(nil, 1000, "bye")
		k.outbox = codec.AppendWSFrame(k.outbox, codec.Close, [4]byte{9, 9, 9, 9}, bye)
	default:
		k.outbox = append(k.outbox, codec.AppendWSHeader(nil, codec.Text, 5)...) // not masked
	}
}
