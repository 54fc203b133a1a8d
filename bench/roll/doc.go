// Command roll restarts three nodes behind real balancers, one after the other, under load, and
// judges what their clients notice of it:
//
//	make roll                                   HAProxy in TCP mode, 1,000 clients, half old
//	make roll ROLLFLAGS='-groups http/go'       1,000 clients of one kind
//	make roll ROLLFLAGS='-phases overlap,kill'  two nodes at once, and one that is killed
//	make roll ROLLFLAGS=-small                  every group together, as CI has it, about 40 s
//	make roll-cluster                           the nodes are a cluster over a nats-server
//
// A group is a front and a kind of client: tcp is HAProxy in TCP mode, http HAProxy in HTTP mode
// (WebSocket), tls HAProxy in TCP mode before the nodes' TLS listeners, nginx is nginx (WebSocket).
// The kinds are go, the Go client, and old, a client written by hand that knows the protocol but no
// notice of a node that drains: it connects again when its connection has ended. Each node has
// services of its own, connected to it and not through a balancer; those of a cluster come through
// HAProxy, each to one node, and go elsewhere when that restarts. Every request has an ID of its
// own in its payload, so that the services know what they have served before, and every answer is
// counted where it comes out of the connection.
//
// Judged is: who asks through the Go client has no failed request; an old client sees its
// connection end in order (1001, or the end of the stream), nothing refused, and nothing lost that
// a service has served; no request is answered or served twice; HAProxy's log has a node down
// before the first of its connections ends; a node ends with exit code 0. A node that is killed
// costs only what was outstanding there, of other nodes' requesters too, and all are back soon. In
// a cluster some requests have gone to services of other nodes. A node that nobody uses and nobody
// asks for its readiness ends at once.
package main
