// Package trouble says what is wrong with a node at the moment: which kinds of trouble there are
// and what is to be done about each (kind.go), how a node notes that something goes on without
// anybody watching (spell.go), and what is said to who asks (report.go). It knows no node: what is
// found there is in server/broker.
package trouble
