package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"sort"
	"strings"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/topic"
)

// subscribable are the system topics that a service may subscribe to, by exact name (protocol §8).
var subscribable = map[string]bool{
	"system.log":               true,
	"system.message":           true,
	"system.service.register":  true,
	"system.topic.subscribe":   true,
	"system.topic.unsubscribe": true,
}

// kinds reads the field action: which kinds of subscription are meant.
func (s *systemCall) kinds(needed bool) ([]topic.Kind, *callError) {
	action, ok, err := s.text("action")
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(action) {
	case "publish":
		return []topic.Kind{topic.Publish}, nil
	case "request":
		return []topic.Kind{topic.Request}, nil
	case "both", "all":
		return []topic.Kind{topic.Publish, topic.Request}, nil
	}
	if !ok && !needed {
		return []topic.Kind{topic.Publish, topic.Request}, nil
	}
	return nil, invalid("action", "must be publish, request or both")
}

func (s *systemCall) pattern() (topic.Pattern, *callError) {
	value, ok, err := s.text("topic")
	if err != nil {
		return topic.Pattern{}, err
	}
	if !ok {
		return topic.Pattern{}, invalid("topic", "is missing")
	}
	p, bad := topic.ParsePattern(value)
	if bad != nil {
		return topic.Pattern{}, invalid("topic", bad.Error())
	}
	if p.System() && !subscribable[p.String()] {
		return topic.Pattern{}, invalid("topic", "this system topic has no subscriptions")
	}
	return p, nil
}

func (s *systemCall) options() (o topic.Options, err *callError) {
	if raw, ok := s.fields["priority"]; ok && string(raw) != "null" {
		if json.Unmarshal(raw, &o.Priority) != nil || math.IsInf(o.Priority, 0) {
			return o, invalid("priority", "must be a finite number")
		}
	}
	name, ok, err := s.text("overflow")
	if err != nil {
		return o, err
	}
	if ok {
		if o.Overflow = uint8(parseOverflow(name)); o.Overflow == 0 {
			return o, invalid("overflow", "must be drop, drop-oldest or disconnect")
		}
	}
	if raw, ok := s.fields["conflate"]; ok && string(raw) != "null" {
		if json.Unmarshal(raw, &o.Conflate) != nil {
			return o, invalid("conflate", "must be true or false")
		}
	}
	return o, nil
}

// subscribe adds subscriptions, or replaces their options.
func (s *systemCall) subscribe() *callError {
	kinds, err := s.kinds(true)
	if err != nil {
		return err
	}
	p, err := s.pattern()
	if err != nil {
		return err
	}
	o, err := s.options()
	if err != nil {
		return err
	}
	for _, k := range kinds {
		s.c.subscribe(p, k, o)
	}
	if s.l.log.Enabled(context.Background(), slog.LevelDebug) {
		s.l.log.Debug("subscribed", "serviceId", s.c.id.String(), "topic", p.String())
	}
	s.success()
	s.notify("system.topic.subscribe")
	return nil
}

// unsubscribe removes subscriptions; one that is not there is a success.
func (s *systemCall) unsubscribe() *callError {
	kinds, err := s.kinds(false)
	if err != nil {
		return err
	}
	p, err := s.pattern()
	if err != nil {
		return err
	}
	for _, k := range kinds {
		s.c.unsubscribe(p, k)
	}
	s.success()
	s.notify("system.topic.unsubscribe")
	return nil
}

// listTopics answers with every pattern somebody is subscribed to.
func (s *systemCall) listTopics() *callError {
	return s.inBackground(func(n *Node) []byte {
		seen := make(map[string]bool)
		n.trie.Walk(func(p topic.Pattern, _ topic.Kind, _ []topic.Match[*service]) bool {
			seen[p.String()] = true
			return true
		})
		names := make([]string, 0, len(seen))
		for name := range seen {
			names = append(names, name)
		}
		sort.Strings(names)
		b := []byte(`{"status":"success","topics":[`)
		for i, name := range names {
			if i > 0 {
				b = append(b, ',')
			}
			b = codec.AppendJSONQuoted(b, name)
		}
		return append(b, `]}`...)
	})
}

// topicEntry is one element of the answer of system.topic.subscriptions.
type topicEntry struct {
	pattern string
	kind    topic.Kind
	subs    []topic.Match[*service]
}

// topicSubscriptions answers with every pattern and who is subscribed to it, sorted by topic, then action.
func (s *systemCall) topicSubscriptions() *callError {
	return s.inBackground(func(n *Node) []byte {
		var entries []topicEntry
		n.trie.Walk(func(p topic.Pattern, k topic.Kind, subs []topic.Match[*service]) bool {
			entries = append(entries, topicEntry{p.String(), k, append([]topic.Match[*service](nil), subs...)})
			return true
		})
		sort.Slice(entries, func(i, j int) bool {
			a, b := &entries[i], &entries[j]
			return a.pattern < b.pattern || a.pattern == b.pattern && a.kind < b.kind
		})
		b := []byte(`{"status":"success","subscriptions":[`)
		for i := range entries {
			if i > 0 {
				b = append(b, ',')
			}
			b = entries[i].appendJSON(b)
		}
		return append(b, `]}`...)
	})
}

func (e *topicEntry) appendJSON(b []byte) []byte {
	b = append(b, `{"action":"`...)
	b = append(b, e.kind.String()...)
	b = append(b, `","topic":`...)
	b = codec.AppendJSONQuoted(b, e.pattern)
	b = append(b, `,"subscribers":[`...)
	for i, m := range e.subs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"serviceId":"`...)
		b = m.Sub.id.Append(b)
		b = append(b, '"')
		if e.kind == topic.Request {
			b = append(b, `,"priority":`...)
			b = codec.AppendJSONNumber(b, m.Options.Priority)
		}
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

// send delivers the answer to whoever asked, if it is still there. Any goroutine.
func (r reply) send(payload []byte) {
	body := ringbuf.NewShared()
	body.B = append(append(body.B, r.header...), payload...)
	r.to.postDirect(body)
}
