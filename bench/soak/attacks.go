//go:build linux

package main

import (
	"slices"
	"strings"
)

// attack is one way to hurt a node.
type attack struct {
	name  string
	item  string   // of issue 12 that it is about; "+": a heavier idea in the same kind
	what  string   // in a few words
	set   []string // settings of the node, key=value
	alone []string // the same, but not when all attack together: they would spoil other attacks
	pause bool     // the judge stops the node's process now and then
	most  int      // requests that may be outstanding, as alone sets it; 0: any
	start func(a *army)
}

// together is the name of all of them.
const together = "together"

// attacks is every attack. Item 17 is about make fuzz, which no client can attack.
var attacks = []attack{
	{name: "conflate", item: "1", start: conflate,
		what: "stalled conflating readers of many small topics and a few large messages"},
	{name: "oldest", item: "1", start: oldest,
		what: "stalled drop-oldest readers that ask for heartbeats between"},
	{name: "requests", item: "2", start: requests,
		what: "15 requesters without ID at full speed to one service that answers"},
	{name: "subscriptions-asked", item: "3", start: subscriptionsAsked,
		what: "the subscriptions of a service with very many, asked for again and again"},
	{name: "expressions", item: "3", start: expressions,
		what: "log expressions that are long to compile"},
	{name: "lists", item: "3", start: lists,
		what: "lists of topics and subscriptions over 100,000 patterns"},
	{name: "heartbeat-json", item: "3", start: heartbeatJSON,
		set:  []string{"message.payload.maxLength=1048576"},
		what: "heartbeats with a mebibyte of nested JSON"},
	{name: "silent-service", item: "4, 18", start: silentService,
		what: "requests of an hour to services that answer none, at the end too"},
	{name: "half-handshakes", item: "5", start: halfHandshakes,
		what: "5,000 half WebSocket handshakes from many addresses, dripping"},
	{name: "subscribers", item: "6", start: subscribers,
		what: "clients that subscribe 100,000 patterns, repeat them and vanish"},
	{name: "outstanding", item: "7", start: outstanding,
		alone: []string{"max.outstanding.requests=500"}, most: 500,
		what: "far more requests than may be outstanding, across loops"},
	{name: "routes", item: "8", start: routes,
		what: "4,000 services on # and requests on 16,384 topics"},
	{name: "fan", item: "9", start: fan,
		what: "empty messages at full speed to 1,000 readers"},
	{name: "fan-stalled", item: "9", start: fanStalled,
		what: "the same to 1,000 that read nothing, until their rings are full"},
	{name: "malformed", item: "9", start: malformed,
		what: "malformed frames of one byte at full speed"},
	{name: "churn", item: "9", start: churn,
		what: "pipelined subscribing and unsubscribing at full speed"},
	{name: "paused", item: "10", start: func(*army) {}, pause: true,
		set: []string{"connection.heartbeatRetryTimeout=1000",
			"connection.heartbeatDeregisterTimeout=2000"},
		what: "the process is stopped for 3.5 s and goes on; a client may be silent for 2 s"},
	{name: "waiting-topics", item: "11", start: waitingTopics,
		what: "requests that wait on 9,000 topics, and a wildcard service that comes and goes"},
	{name: "log", item: "12", start: logFlood,
		what: "log readers with expressions at debug and registrations at full speed"},
	{name: "fragments", item: "13", start: fragments,
		what: "4,000 half messages, fragmented or with only a part of their bytes"},
	{name: "leavers", item: "14", start: leavers,
		what: "readers that stall with a full ring and vanish, over and over"},
	{name: "priorities", item: "15", start: priorities,
		what: "1,500 services with as many priorities, which they change"},
	{name: "heartbeat-misuse", item: "16", start: heartbeatMisuse,
		alone: []string{"rate.limit.global.per.service=2000"},
		what:  "malformed messages and wrong actions on system.heartbeat at full speed"},
	{name: "errors", item: "19", start: errorFlood,
		what: "publishes that nobody subscribes to, faster than their errors are read"},
	{name: "deaf", item: "19", start: deaf,
		what: "clients that ask and publish and never read an answer"},
	{name: "consoles", item: "20", start: consoles,
		what: "consoles that poll everything of 5,000 services, some reading slowly"},
	{name: "half-closed", item: "21", start: halfClosed,
		what: "requests and the end of the stream behind them; messages that upload slowly"},

	{name: "storm", item: "+", start: storm,
		what: "connections that come and are reset at once, at full speed"},
	{name: "large", item: "+", start: large,
		what: "16 KiB publishes to 200 stalled and 100 slow readers"},
	{name: "stalled-service", item: "+", start: stalledService,
		what: "16 KiB requests to services that read nothing"},
	{name: "audit", item: "+", start: audit,
		what: "auditors that read slowly or not while messages flow at full speed"},
	{name: "notices", item: "+", start: notices,
		what: "200 who are told of every subscription, while others subscribe at full speed"},
	{name: "pings", item: "+", start: pings,
		what: "WebSocket pings whose pongs are not read; one-byte fragments and writes"},
	{name: "nobody", item: "-", start: func(*army) {},
		what: "no attack: what the judge, the polite clients and the machine are by themselves"},
}

// all is the attack that is all of them.
var all = attack{name: together, item: "all", what: "all attacks at once, each a part as large"}

// attackNamed finds attacks by name; together is all, and a+b some of them.
func attackNamed(name string) (found []attack) {
	names := strings.Split(name, "+")
	for _, a := range attacks {
		if name == together || slices.Contains(names, a.name) {
			found = append(found, a)
		}
	}
	if name != together && len(found) < len(names) {
		return nil
	}
	return found
}
