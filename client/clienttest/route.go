package clienttest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"mbserver/codec"
)

// take handles one message.
func (b *Broker) take(c *Conn, msg []byte) {
	h, payload, err := codec.ParseHeader(msg, maxTimeoutMs)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		c.Send("response:error:1.0.0", errorBody(codec.MalformedMessage, err.Error(), nil))
		return
	}
	b.received[h.Action]++
	if b.options.Intercept != nil && b.options.Intercept(c, &h, payload) {
		return
	}
	if b.authenticate(c, &h, payload) {
		return
	}
	topic := strings.ToLower(string(h.Topic))
	switch {
	case strings.HasPrefix(topic, "system."):
		if h.Action == codec.Request {
			b.system(c, topic, &h, payload)
		}
	case h.Action == codec.Publish:
		b.publish(c, topic, &h, payload)
	case h.Action == codec.Request:
		b.request(c, topic, &h, payload)
	default:
		b.respond(c, &h, payload)
	}
}

func (b *Broker) publish(c *Conn, topic string, h *codec.Header, payload []byte) {
	header := fmt.Sprintf("publish:%s:%s:%s", h.Topic, h.Version, newID())
	count := 0
	for _, to := range b.arrived {
		if _, up := b.conns[to]; up && to.wants("publish", topic) != nil {
			to.Send(header, payload)
			count++
		}
	}
	switch {
	case count == 0:
		c.refuse(h, codec.NoRouteFound, "no subscriber")
	case len(h.RequestID) > 0:
		header := fmt.Sprintf("response:%s:%s:%s", h.Topic, h.Version, h.RequestID)
		c.Send(header, fmt.Appendf(nil, `{"status":"success","subscribers":%d}`, count))
	}
}

func (b *Broker) request(c *Conn, topic string, h *codec.Header, payload []byte) {
	var to *Conn
	best := 0.0
	for _, candidate := range b.arrived {
		_, up := b.conns[candidate]
		s := candidate.wants("request", topic)
		if up && s != nil && (to == nil || s.Priority > best) {
			to, best = candidate, s.Priority
		}
	}
	if to == nil {
		c.refuse(h, codec.NoRouteFound, "no service")
		return
	}
	masked := newID()
	r := &outstanding{
		from: c, to: to,
		topic: string(h.Topic), version: string(h.Version), id: string(h.RequestID),
	}
	timeout := 5 * time.Second
	if h.TimeoutMs > 0 {
		timeout = time.Duration(h.TimeoutMs) * time.Millisecond
	}
	r.timer = time.AfterFunc(timeout, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.requests[masked] == r {
			delete(b.requests, masked)
			c.fail(r.topic, r.version, r.id, codec.Timeout,
				"no answer in time", map[string]any{"targetServiceId": to.ID})
		}
	})
	b.requests[masked] = r
	to.Send(fmt.Sprintf("request:%s:%s:%s", h.Topic, h.Version, masked), payload)
}

func (b *Broker) respond(c *Conn, h *codec.Header, payload []byte) {
	r, ok := b.requests[string(h.RequestID)]
	if !ok || r.to != c {
		c.refuse(h, codec.InvalidRequestID, "no such request")
		return
	}
	r.timer.Stop()
	delete(b.requests, string(h.RequestID))
	if r.id != "" {
		r.from.Send(fmt.Sprintf("response:%s:%s:%s", r.topic, r.version, r.id), payload)
	}
}

// wants returns the subscription that takes the topic.
func (c *Conn) wants(action, topic string) *subscription {
	for i, s := range c.subscriptions {
		if s.Action == action && matches(strings.Split(s.Topic, "."), strings.Split(topic, ".")) {
			return &c.subscriptions[i]
		}
	}
	return nil
}

// matches is protocol §3 on levels.
func matches(pattern, name []string) bool {
	if len(pattern) == 0 {
		return len(name) == 0
	}
	if pattern[0] == "#" {
		return true
	}
	return len(name) > 0 && (pattern[0] == "+" || pattern[0] == name[0]) &&
		matches(pattern[1:], name[1:])
}

// system answers a request to the broker itself (protocol §8).
func (b *Broker) system(c *Conn, topic string, h *codec.Header, payload []byte) {
	var fields struct {
		subscription
		Name        string            `json:"name"`
		Description string            `json:"description"`
		Filter      map[string]string `json:"paramFilter"`
	}
	id := string(h.RequestID)
	if len(payload) > 0 && json.Unmarshal(payload, &fields) != nil {
		c.fail(topic, "1.0.0", id, codec.MalformedMessage, "the payload is not a JSON object", nil)
		return
	}
	answer := map[string]any{"status": "success"}
	switch topic {
	case "system.heartbeat":
	case "system.service.register":
		c.name, c.description = fields.Name, fields.Description
	case "system.topic.subscribe":
		if fields.Topic == "" || strings.Contains(fields.Topic, "*") {
			c.fail(topic, "1.0.0", id, codec.InvalidRequest, "not a pattern: "+fields.Topic, nil)
			return
		}
		c.unsubscribe(fields.Action, fields.Topic)
		c.subscriptions = append(c.subscriptions, fields.subscription)
	case "system.topic.unsubscribe":
		c.unsubscribe(fields.Action, fields.Topic)
	case "system.log.subscribe", "system.log.unsubscribe":
		c.log = topic == "system.log.subscribe"
	case "system.service.list":
		answer["services"] = b.services()
	case "system.topic.list":
		answer["topics"] = b.topics()
	case "system.topic.subscriptions":
		answer["subscriptions"] = b.subscriptions()
	case "system.metrics":
		answer["metrics"] = map[string]float64{
			"connection.active": float64(len(b.conns)), "router.publish.rate": 1.5,
		}
	default:
		c.fail(topic, "1.0.0", id, codec.TopicNotSupported, "unknown system topic "+topic, nil)
		return
	}
	c.Send("response:"+topic+":1.0.0:"+id, marshal(answer))
}

func (c *Conn) unsubscribe(action, topic string) {
	c.subscriptions = slices.DeleteFunc(c.subscriptions, func(s subscription) bool {
		return s.Topic == topic && (action == "" || s.Action == action)
	})
}

// sometime is what the lists and the log have for every time.
const sometime = "2026-01-01T00:00:00.000Z"

func (b *Broker) services() []map[string]any {
	var all []map[string]any
	for _, c := range b.arrived {
		if _, up := b.conns[c]; up {
			all = append(all, map[string]any{
				"id": c.ID, "name": c.name, "description": c.description,
				"connectedAt": sometime, "lastHeartbeat": sometime,
				"transport": "tcp", "outstanding": 0, "queued": 0,
			})
		}
	}
	return all
}

func (b *Broker) topics() []string {
	all := []string{}
	for c := range b.conns {
		for _, s := range c.subscriptions {
			all = append(all, s.Topic)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (b *Broker) subscriptions() []subscription {
	var all []subscription
	for c := range b.conns {
		all = append(all, c.subscriptions...)
	}
	slices.SortFunc(all, func(a, b subscription) int {
		return strings.Compare(a.Topic+" "+a.Action, b.Topic+" "+b.Action)
	})
	return slices.Compact(all)
}

// Log sends a line to the connections that subscribed to the log.
func (b *Broker) Log(level, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		if c.log {
			c.Send("response:system.log:1.0.0", marshal(map[string]string{
				"level": level, "message": message, "module": "test", "timestamp": sometime,
			}))
		}
	}
}
