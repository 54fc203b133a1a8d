// Package watch is a look at messages as they pass, for operators: a Watch wants those of a
// pattern, counts all of them and takes a few, each cut, so many a second. It is no subscription:
// it stands in no list of those, no acknowledgement counts it, and a message that nobody else gets
// stays without a route.
//
// Loops offer, and never wait: who watches too slowly gets less, and is told how much. Reading
// order: watch.go, form.go, pace.go, message.go.
package watch
