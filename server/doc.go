// Package server is the node. It is the stairs of a house: node.go puts the floors on one another,
// lifecycle.go starts them, opens the door last, and stops them from the top floor down. What a
// node does stands on the floors:
//
//	door      connections arrive: limits, handshake, refusals; it never waits
//	reactor   drives the loops, with gnet, and gives connections their sockets
//	broker    what loops share, and the loops: who gets which message
//	system    what the node itself says and answers; it stands below the broker
//	admin     the operators' listener, beside these
//
// limit, fair, wheel, metrics, logging and config stand below these, as do the project's packages
// codec, topic and ringbuf. Imports lead down only.
//
// # Reading order
//
// Read this package first, then broker, and there broker/turn.go before all else: everything that a
// loop does happens in a turn. In broker a file's prefix is its corner: loop_ (a loop and its way
// to the others), conn_ (a connection), dispatch_ (a message comes in), publish_ and request_ (the
// two verbs). Go down to topic, ringbuf and codec where a call leads there. Then read reactor and
// door, which drive turns and bring connections, and system last. The others stand for themselves:
// read them when you need them.
//
// Files below are named from this folder; those of codec, topic and ringbuf from the project's.
//
// # A PUBLISH, from its bytes to its subscribers
//
//  1. reactor/reactor.go read: gnet's poller has reported the socket, whose bytes are read into the
//     loop's buffer and handed to broker/conn.go Receive, which begins the turn unless one runs
//     (broker/turn.go begin): the clock is read once, and the end of the turn is scheduled behind
//     the batch's other I/O events (reactor/reactor.go Schedule).
//     What is more than its share of a busy loop's time is taken in a later turn
//     (broker/turn_work.go). Who does not read its answers is not read (broker/conn_owing.go).
//  2. broker/conn.go receive: the connection's decoder (codec/tcp.go Next, codec/ws.go Next) cuts
//     messages out of that buffer, in place.
//  3. broker/dispatch.go dispatch: the header is parsed (codec/header.go Parse), the size checked,
//     the rate limits asked (broker/dispatch_admit.go admit; limit/credit.go Spend, then
//     limit/gate.go Admit); system topics turn off here; then a switch on the action.
//  4. broker/publish.go publish: the loop's cache gives the route of the topic (topic/cache.go
//     Lookup). When there is none, or subscriptions have changed, topic/trie.go matches and
//     broker/publish_route.go buildTargets composes it: this loop's connections by transport, other
//     loops' services in one group for each loop. A fresh masked ID makes the header line
//     (broker/loop_header.go freshHeader).
//  5. broker/publish.go fanOut: the message is encoded once per wire form into the turn's frames
//     (broker/conn_send.go encode, ringbuf/frames.go Commit) and offered to each connection of this
//     loop (broker/conn_overflow.go offer), which only notes the range (ringbuf/outbound.go
//     Append). Each other loop with subscribers gets one item in the parcel that this turn has for
//     it (sendGroups, broker/loop_parcel.go parcelFor), with a copy of the bytes, or a counted
//     reference to a large body. The parcel goes to that loop's inbox at the end of the turn
//     (handOver, broker/loop_inbox.go accept), and that loop delivers it in its own
//     (broker/loop_inbox.go drainInbox, broker/publish.go receivePublish).
//  6. Where a ring is full, broker/conn_overflow.go makeRoom decides, and broker/conn_gap.go keeps
//     what was lost until it is told. broker/publish_ack.go settle answers the publisher, if it
//     asked, once every loop has said what it dropped (broker/publish.go sendTaken, an item that
//     goes back). With back pressure on, such a publish may wait for room instead
//     (broker/publish_wait.go publishPatiently). Where an inbox is filling, who fills it is not
//     read (broker/conn_pause.go hold); what a full one refuses is lost to that loop's subscribers,
//     and told (broker/loop_parcel.go mayFill, lose).
//  7. reactor/reactor.go end calls broker/turn.go Run: the turn ends. flush writes each connection
//     that has something to say, once (broker/conn.go flush, ringbuf/outbound.go Flush,
//     reactor/socket_unix.go Writev). What the socket does not take goes to the connection's
//     backlog (ringbuf/backlog.go); reactor/stall_linux.go waits for room and tells the loop
//     (broker/loop_inbox.go Writable), and broker/conn.go resume goes on.
//
// # A REQUEST and its answer
//
//  1. Steps 1 to 3 above. broker/request.go request makes a request of it, with its deadline.
//  2. broker/request.go assign finds it a service: the candidates by priority come from the loop's
//     cache (broker/request_choose.go buildCandidates), and reserve takes room at the one that
//     choose names. dispatchTo hands the request to that service's loop: a call when it is this
//     one, else an item in a parcel (sendRequest, receiveRequest). When that loop's inbox is full,
//     the request waits with its requester (mayCross).
//  3. When no service has room, the request waits on the loop of its topic (broker/request_queue.go
//     enqueue). When there is room, the service's loop grants it to the loop whose turn it is
//     (broker/request_grant.go grant), which serves whose turn it is there (useGrant).
//  4. broker/request.go deliverRequest takes an entry (broker/request_table.go take), whose masked
//     ID carries loop and slot, arms its deadline in the loop's wheel (wheel/wheel.go Add), and
//     sends the request to its target (broker/conn_send.go sendProtected).
//  5. The answer arrives on that same loop, because the target does. broker/request_answer.go
//     response finds the entry by its masked ID (broker/request_table.go find), and broker/fate.go
//     answered frees it and sends the payload on under the requester's own topic, version and ID
//     (broker/conn_send.go sendTo): to another loop it goes in a parcel too, and is always taken.
//  6. A deadline (broker/request_answer.go Expire), a target that leaves (endWaits) and the
//     node's bound (evict) end an entry the same way, with an error. An entry is freed
//     exactly once (broker/request_table.go drop), and only its freeing answers; a queued entry
//     that finds a service, or whose requester has left, is freed without an answer. So each
//     request has one.
//  7. A service of another node (broker/abroad.go) is a candidate like any other, until step 2
//     hands it the request: broker/request_abroad.go deliverAbroad keeps the entry here and sends
//     it to that node, where broker/request_foreign.go receiveAsked does step 4. Its answer comes
//     to receiveWord, which goes on as step 5 does.
//
// # The rest
//
// A connection comes in through door/listener.go Ready, on the first loop, where
// door/turnstile.go turn decides who may come in now, and door/admission.go arrive (a place on a
// loop, or a refusal); there door/gate.go enter takes it and, when it is a WebSocket,
// door/visitor.go ask. reactor/reactor.go Open gives it its socket, broker/conn_open.go open makes
// a Conn of it and welcome greets it. It ends in broker/conn_close.go: closeLater and abort decide,
// finishClose acts at the end of the turn, leave removes every trace, free frees the slot.
//
// A message on a system topic goes from broker/system.go system to system/system.go Serve, and
// through its table to the handler in the file of its group. What a handler needs of the connection
// and of the node it asks for in two interfaces, Caller and Node, which broker/system.go
// implements. Lists are made beside the loops, once for all who ask (system/snapshot.go,
// broker/snapshot.go).
//
// What can become of a message (taken, limited, unrouted, sent, dropped, conflated, answered,
// expired, evicted) has one function each in broker/fate.go, which counts it if it has a counter of
// its own. Messages received are counted where they come in, errors where they are answered
// (broker/dispatch_refuse.go, broker/request_answer.go failTo).
//
// # Ownership
//
// Everything in broker.Loop and broker.Conn belongs to the loop's goroutine unless its comment says
// otherwise. The service that a Conn embeds (broker/service.go) is what others may hold: immutable
// or atomic, with slot and generation to find the connection again. Loops talk through parcels and
// inboxes only (broker/loop_parcel.go, broker/loop_inbox.go). Scratch buffers of a loop are valid
// within one call; what is said in the middle of something else (gap notices, audit) has scratch of
// its own.
// What loops share is in broker.Broker: its fields are immutable, atomic, or have locks of their
// own.
package server
