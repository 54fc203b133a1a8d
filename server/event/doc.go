// Package event is what a node remembers of the lives of its connections: kinds of events and how
// they are said (kind.go), and a log of the last hundred of one connection, in few bytes (log.go).
package event
