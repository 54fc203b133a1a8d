package system

import (
	"mbserver/codec"
	"mbserver/server/permit"
)

// auth takes a token. On a node without authentication any is welcome, and vouches for nobody: the
// answer has neither identity nor expiresAt (protocol §8).
func (c *call) auth() *Error {
	token, ok, err := c.text("token")
	if err != nil {
		return err
	}
	if !ok || token == "" {
		return invalid("token", "must be a string that is not empty")
	}
	return c.Authenticate(token)
}

// needs are the words that requests on system topics need (protocol §10); those that are not here
// need none.
var needs = map[string]permit.Words{
	"system.service.list":        permit.ServiceList,
	"system.topic.list":          permit.TopicList,
	"system.topic.subscriptions": permit.TopicList,
	"system.log.subscribe":       permit.Log,
	"system.metrics":             permit.Metrics,
	ExplainTopic:                 permit.Explain,
	"system.node.list":           permit.Connection,

	"system.connection.kick":        permit.Admin,
	"system.connection.mute":        permit.Admin,
	"system.connection.unsubscribe": permit.Admin,
	"system.node.drain":             permit.Admin,
}

// needsToSubscribe are the words that subscriptions of system topics need.
var needsToSubscribe = map[string]permit.Words{
	LogTopic:                   permit.Log,
	MessageTopic:               permit.Message,
	"system.service.register":  permit.ServiceList,
	"system.topic.subscribe":   permit.TopicList,
	"system.topic.unsubscribe": permit.TopicList,
}

// MaySubscribe says whether rules permit a subscription: a pattern of the user by the lists of the
// verb, a system topic by its word.
func MaySubscribe(r *permit.Rules, verb permit.Verb, pattern string, system bool) bool {
	if system {
		return r.Holds(needsToSubscribe[pattern])
	}
	return r.Pattern(verb, pattern)
}

// needsToAudit are the words that it takes to see messages on system topics between the node and
// others: whatever the answers and notices say must be what who sees them could ask for. What is
// not here tells of others' connections.
var needsToAudit = map[string]permit.Words{
	HeartbeatTopic:                 0,
	AuthTopic:                      0,              // its payloads are shown to nobody
	ExplainTopic:                   permit.Explain, // nor are its
	"system.service.list":          permit.ServiceList | permit.Connection,
	"system.service.register":      permit.ServiceList,
	"system.service.subscriptions": permit.ServiceList,
	"system.topic.list":            permit.TopicList,
	"system.topic.subscriptions":   permit.TopicList,
	"system.topic.subscribe":       permit.TopicList,
	"system.topic.unsubscribe":     permit.TopicList,
	"system.topic.revoked":         permit.TopicList,
	LogTopic:                       permit.Log,
	"system.log.subscribe":         permit.Log,
	"system.log.unsubscribe":       permit.Log,
	"system.metrics":               permit.Metrics,
}

// MayAudit says whether who holds rules may see messages on a canonical topic of the node itself.
func MayAudit(r *permit.Rules, name []byte) bool {
	words, known := needsToAudit[string(name)]
	if !known {
		words = permit.Connection
	}
	return r.Holds(words)
}

// Forbidden is the answer to what is not permitted (protocol §7). action is a verb of permissions,
// or the request's.
func Forbidden(action, topic string) *Error {
	return &Error{codec.Forbidden, "this is not permitted to you", []codec.Detail{
		codec.TextDetail("action", action), codec.TextDetail("topic", topic),
	}}
}
