// Package system is what the node itself says: the answers to requests on system topics (protocol
// §8) and the texts that it starts by itself (notice.go; those that repeat a request's fields are
// made in system.go, notify, and get their header line in the broker's system.go, Notify).
//
// It stands below the broker and names what it needs of it: Caller is the connection that a request
// came from, Node what can be asked of the node at large. A new system topic is a handler in the
// file of its group and a row in the table of system.go.
package system
