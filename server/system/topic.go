package system

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	"mbserver/codec"
	"mbserver/topic"
)

// Subscriber is one of a pattern's.
type Subscriber struct {
	ID       codec.UUID // zero: somebody of another node, which does not tell who
	Priority float64
	Node     codec.UUID // that it is connected to; zero: there is no cluster, or that is not known
	Abroad   bool       // that is another one
}

// Overflow is a policy for a full ring (protocol §9), as topic.Options holds it:
// 0 means the node's.
type Overflow uint8

// The policies.
const (
	OverflowDrop       Overflow = iota + 1 // the newest message is lost
	OverflowDropOldest                     // the oldest is lost
	OverflowDisconnect                     // the connection is cut
)

// overflowNames are the policies as the contract and the configuration write them.
var overflowNames = [...]string{
	OverflowDrop: "drop", OverflowDropOldest: "drop-oldest", OverflowDisconnect: "disconnect",
}

// String is how the contract writes a policy; "" for the node's.
func (o Overflow) String() string { return overflowNames[o] }

// ParseOverflow returns the policy of that name, or 0.
func ParseOverflow(name string) Overflow {
	if name == "" {
		return 0
	}
	return Overflow(max(slices.Index(overflowNames[:], name), 0))
}

// subscribable are the system topics that a service may subscribe to, by exact name.
var subscribable = map[string]bool{
	LogTopic:                   true,
	MessageTopic:               true,
	"system.service.register":  true,
	"system.topic.subscribe":   true,
	"system.topic.unsubscribe": true,
}

var (
	onlyPublish = []topic.Kind{topic.Publish}
	onlyRequest = []topic.Kind{topic.Request}
	bothKinds   = []topic.Kind{topic.Publish, topic.Request}
)

// kinds reads the field action: which kinds of subscription are meant.
func (c *call) kinds(needed bool) ([]topic.Kind, *Error) {
	action, ok, err := c.text("action")
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(action) {
	case "publish":
		return onlyPublish, nil
	case "request":
		return onlyRequest, nil
	case "both", "all":
		return bothKinds, nil
	}
	if !ok && !needed {
		return bothKinds, nil
	}
	return nil, invalid("action", "must be publish, request or both")
}

func (c *call) pattern() (topic.Pattern, *Error) {
	value, ok, err := c.text("topic")
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

func (c *call) options() (o topic.Options, err *Error) {
	if raw, ok := c.fields["priority"]; ok && (!decode(raw, &o.Priority) ||
		math.IsInf(o.Priority, 0)) {
		return o, invalid("priority", "must be a finite number")
	}
	name, ok, err := c.text("overflow")
	if err != nil {
		return o, err
	}
	if ok {
		if o.Overflow = uint8(ParseOverflow(name)); o.Overflow == 0 {
			return o, invalid("overflow", "must be drop, drop-oldest or disconnect")
		}
	}
	o.Conflate, err = c.flag("conflate")
	return o, err
}

// subscribe adds subscriptions, or replaces their options.
func (c *call) subscribe() *Error {
	kinds, err := c.kinds(true)
	if err != nil {
		return err
	}
	p, err := c.pattern()
	if err != nil {
		return err
	}
	o, err := c.options()
	if err != nil {
		return err
	}
	if err := c.Subscribe(p, kinds, o); err != nil {
		return err
	}
	if c.Known() {
		c.success()
		c.notify(subscribeTopic)
		return nil
	}
	payload := bytes.Clone(c.payload)
	c.WhenKnown(func(k Caller, unconfirmed int) {
		k.Answer(appendSubscribed(nil, unconfirmed))
		notify(k, payload, subscribeTopic)
	})
	return nil
}

// subscribeTopic is also what its subscribers are told of.
const subscribeTopic = "system.topic.subscribe"

// appendSubscribed appends the answer to a subscription of which so many nodes do not know yet.
func appendSubscribed(b []byte, unconfirmed int) []byte {
	if unconfirmed == 0 {
		return append(b, statusSuccess...)
	}
	b = append(b, `{"status":"success","unconfirmed":`...)
	return append(strconv.AppendInt(b, int64(unconfirmed), 10), '}')
}

// unsubscribe removes subscriptions; one that is not there is a success.
func (c *call) unsubscribe() *Error {
	kinds, err := c.kinds(false)
	if err != nil {
		return err
	}
	p, err := c.pattern()
	if err != nil {
		return err
	}
	c.Unsubscribe(p, kinds)
	c.success()
	c.notify("system.topic.unsubscribe")
	return nil
}

// listTopics answers with every pattern somebody is subscribed to.
func (c *call) listTopics() *Error { return c.AnswerShared(TopicsSnapshot) }

// topicSubscriptions answers with every pattern and who is subscribed to it.
func (c *call) topicSubscriptions() *Error {
	alone, err := c.nodeOnly()
	if err != nil {
		return err
	}
	if alone {
		return c.AnswerShared(NodeTopicSubscriptionsSnapshot)
	}
	return c.AnswerShared(TopicSubscriptionsSnapshot)
}
