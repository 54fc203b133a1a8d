package server

import (
	"encoding/json"
	"math"
	"sort"
	"strconv"
	"strings"

	"mbserver/codec"
	"mbserver/topic"
)

// Bounds of a registration (protocol §8).
const (
	nameMax        = 36      // characters
	descriptionMax = 1024    // characters
	metadataMax    = 1 << 10 // bytes of JSON
)

// register names the service, or changes what it is known as.
func (s *systemCall) register() *callError {
	p := &profile{}
	var err *callError
	if p.name, err = s.boundedText("name", 1, nameMax); err != nil {
		return err
	}
	if p.description, err = s.boundedText("description", 1, descriptionMax); err != nil {
		return err
	}
	if raw, ok := s.fields["maxConcurrent"]; ok {
		if json.Unmarshal(raw, &p.maxConcurrent) != nil || p.maxConcurrent < 1 {
			return invalid("maxConcurrent", "must be a whole number of at least 1")
		}
	}
	if raw, ok := s.fields["metadata"]; ok {
		var flat map[string]string
		if json.Unmarshal(raw, &flat) != nil || flat == nil {
			return invalid("metadata", "must be a flat object of strings")
		}
		if p.metadata, _ = json.Marshal(flat); len(p.metadata) > metadataMax {
			return invalid("metadata", "must be at most 1 KiB")
		}
	}
	s.c.profile.Store(p)
	limit := s.l.node.perService
	if p.maxConcurrent > 0 {
		limit = int32(min(p.maxConcurrent, math.MaxInt32))
	}
	if s.c.capacity.Swap(limit) != limit {
		s.l.node.wakeQueues()
	}
	s.l.tally[countRegistration]++
	s.l.log.Info("registered", "serviceId", s.c.id.String(), "name", p.name)
	s.success()
	s.notify("system.service.register")
	return nil
}

// listServices answers with every service of the node.
func (s *systemCall) listServices() *callError {
	s.l.tally[countDiscovery]++
	return s.inBackground(func(n *Node) []byte {
		services := n.registry.all()
		sort.Slice(services, func(i, j int) bool {
			a, b := services[i], services[j]
			return a.connectedAt < b.connectedAt || a.connectedAt == b.connectedAt && a.id.String() < b.id.String()
		})
		b := []byte(`{"status":"success","services":[`)
		for i, s := range services {
			if i > 0 {
				b = append(b, ',')
			}
			b = s.appendJSON(b)
		}
		return append(b, `]}`...)
	})
}

// appendJSON writes the service as system.service.list shows it. Any goroutine.
func (s *service) appendJSON(b []byte) []byte {
	p := s.profile.Load()
	if p == nil {
		p = &profile{}
	}
	b = append(b, `{"id":"`...)
	b = s.id.Append(b)
	b = append(b, `","name":`...)
	b = codec.AppendJSONQuoted(b, p.name)
	b = append(b, `,"description":`...)
	b = codec.AppendJSONQuoted(b, p.description)
	b = append(b, `,"connectedAt":"`...)
	b = codec.AppendTimestamp(b, s.connectedAt)
	b = append(b, `","lastHeartbeat":"`...)
	b = codec.AppendTimestamp(b, s.lastSeen.Load())
	b = append(b, `","transport":"`...)
	b = append(b, s.transport.String()...)
	b = append(b, `","metadata":`...)
	if p.metadata != nil {
		b = append(b, p.metadata...)
	} else {
		b = append(b, `{}`...)
	}
	b = append(b, `,"outstanding":`...)
	b = strconv.AppendInt(b, int64(s.outstanding.Load()), 10)
	b = append(b, `,"queued":`...)
	b = strconv.AppendInt(b, int64(s.queued.Load()), 10)
	return append(b, '}')
}

// serviceSubscriptions answers with what one service is subscribed to.
func (s *systemCall) serviceSubscriptions() *callError {
	target := &s.c.service
	value, given, err := s.text("serviceId")
	if err != nil {
		return err
	}
	if given {
		id, ok := codec.ParseUUID([]byte(value))
		if !ok {
			return invalid("serviceId", "must be a UUID")
		}
		if target = s.l.node.registry.find(id); target == nil {
			return unknownService(value)
		}
	}
	if target.loop == s.l {
		if c := s.l.connOf(target); c != nil {
			s.answer(c.appendSubscriptions(nil))
			return nil
		}
		return unknownService(value)
	}
	r := s.later()
	target.loop.post(envelope{kind: envelopeCall, call: func(l *loop) {
		if c := l.connOf(target); c != nil {
			r.send(c.appendSubscriptions(nil))
			return
		}
		e := unknownService(value)
		r.send(codec.AppendError(nil, e.code, e.message, l.time.Unix, e.details...))
	}})
	return nil
}

func unknownService(id string) *callError {
	return &callError{codec.ServiceUnavailable, "no such service is connected", []codec.Detail{codec.TextDetail("serviceId", id), codec.TextDetail("reason", "unknown")}}
}

// appendSubscriptions writes the answer of system.service.subscriptions, sorted by topic, then action.
func (c *conn) appendSubscriptions(b []byte) []byte {
	subs := append([]subscription(nil), c.subs...)
	sort.Slice(subs, func(i, j int) bool {
		if d := strings.Compare(subs[i].pattern.String(), subs[j].pattern.String()); d != 0 {
			return d < 0
		}
		return subs[i].kind < subs[j].kind
	})
	b = append(b, `{"status":"success","subscriptions":[`...)
	for i := range subs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"action":"`...)
		b = append(b, subs[i].kind.String()...)
		b = append(b, `","topic":`...)
		b = codec.AppendJSONQuoted(b, subs[i].pattern.String())
		if subs[i].kind == topic.Request {
			b = append(b, `,"priority":`...)
			b = codec.AppendJSONNumber(b, subs[i].options.Priority)
		}
		b = append(b, '}')
	}
	return append(b, `]}`...)
}
