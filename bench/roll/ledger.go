//go:build linux

package main

import "sync"

// ledger counts, by the ID of a call, how often services have served it, and by that of a request
// how often it was answered. Any goroutine.
type ledger struct {
	mu       sync.Mutex
	served   map[string]int // guarded by mu
	answered map[string]int // guarded by mu
}

func newLedger() *ledger {
	return &ledger{served: make(map[string]int), answered: make(map[string]int)}
}

// serve counts that a service was asked for the call.
func (l *ledger) serve(call string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served[call]++
}

// answer counts that an answer to the request came out of a connection.
func (l *ledger) answer(request string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered[request]++
}

// wasServed says whether a service was asked for the call.
func (l *ledger) wasServed(call string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.served[call] > 0
}

// twice counts the calls that were served, and the requests that were answered, more than once.
func (l *ledger) twice() (served, answered int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	more := func(counts map[string]int) (n int) {
		for _, count := range counts {
			if count > 1 {
				n++
			}
		}
		return n
	}
	return more(l.served), more(l.answered)
}
