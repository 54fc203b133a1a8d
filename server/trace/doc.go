// Package trace is the record of what became of messages: which were looked at, and what happened
// to each, where, when and why. A Book is one loop's, bounded in memory, and has no lock: a message
// that goes from loop to loop is known in each of their books by the same Mark. What is put
// together of them answers system.explain (protocol §11).
//
//	stop.go   what can become of a message
//	mark.go   how a message is known, and what is known of it
//	book.go   one loop's record
package trace
