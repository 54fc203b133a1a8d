package blackbox

import (
	"fmt"
	"sync"
	"time"
)

// flow keeps a publisher at most window messages ahead of the slowest of its followers, so that
// what they are sent fits their outbound rings and nothing may be lost. Any goroutine.
type flow struct {
	window int // Immutable.

	mu       sync.Mutex
	moved    sync.Cond
	received []int // Guarded by mu: by follower.
	err      error // Guarded by mu: the first fault; nobody waits after it.
}

func newFlow(window, followers int) *flow {
	f := &flow{window: window, received: make([]int, followers)}
	f.moved.L = &f.mu
	return f
}

// note says that a follower has received count messages so far.
func (f *flow) note(follower, count int) {
	f.mu.Lock()
	f.received[follower] = count
	f.mu.Unlock()
	f.moved.Broadcast()
}

func (f *flow) fail(err error) {
	f.mu.Lock()
	if f.err == nil {
		f.err = err
	}
	f.mu.Unlock()
	f.moved.Broadcast()
}

// await returns when message number sent may leave. Followers' own deadlines bound the wait.
func (f *flow) await(sent int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.err == nil && f.behind(sent) {
		f.moved.Wait()
	}
	return f.err
}

func (f *flow) behind(sent int) bool {
	for _, r := range f.received {
		if sent-r > f.window {
			return true
		}
	}
	return false
}

// follow receives count numbered messages ("0 …", "1 …") in order and nothing else,
// noting its progress.
func (f *flow) follow(p peer, follower, count int) error {
	for i := range count {
		if err := expectNumber(p, i); err != nil {
			err = fmt.Errorf("follower %d: %w", follower, err)
			f.fail(err)
			return err
		}
		f.note(follower, i+1)
	}
	return nil
}

// expectNumber takes one publish whose payload begins with the number.
func expectNumber(p peer, number int) error {
	data, err := p.Recv(time.Now().Add(patience))
	if err != nil {
		return fmt.Errorf("awaiting message %d: %w", number, err)
	}
	m, err := parseMessage(data)
	if err != nil {
		return err
	}
	if got, err := leadingNumber(m); err != nil || got != number {
		return fmt.Errorf("awaiting message %d, got %.100v (%v)", number, m, err)
	}
	return nil
}

// leadingNumber reads the number that a published payload begins with.
func leadingNumber(m message) (int, error) {
	var number int
	if m.Action != "publish" {
		return 0, fmt.Errorf("not a publish: %v", m)
	}
	_, err := fmt.Sscanf(string(m.Payload), "%d", &number)
	return number, err
}
