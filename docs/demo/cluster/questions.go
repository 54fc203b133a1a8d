package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"mbserver/client"
)

const (
	askTopic = "gates.ask"
	askRate  = 100                   // questions a second
	askTime  = 60 * time.Millisecond // that a desk takes to answer one
)

// desk is one instance of a service: it answers questions.
type desk struct {
	name   string
	client *client.Client

	// Guarded by mu.
	mu   sync.Mutex
	conn net.Conn // the latest
	ids  []string // that the nodes have known it by
	gone bool     // it has no connection
	end  string   // what has happened to it
}

// cut ends a desk's connection as the death of its process does.
func (k *desk) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if tcp, is := k.conn.(*net.TCPConn); is {
		_ = tcp.SetLinger(0) // nothing that waits is written any more
	}
	_ = k.conn.Close() // it has ended then
	k.gone, k.end = true, "its connection was cut"
}

// dial notes the connection that cut ends.
func (k *desk) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		k.mu.Lock()
		k.conn = conn
		k.mu.Unlock()
	}
	return conn, err
}

// known notes the ID of a new connection.
func (k *desk) known(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ids, k.gone = append(k.ids, id), false
}

// parted notes that it has no connection.
func (k *desk) parted(error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gone = true
}

func (k *desk) seen() (gone bool, end string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.gone, k.end
}

func (k *desk) note(end string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.end = end
}

// questions are what is asked, and what became of each.
type questions struct {
	client *client.Client // who asks
	desks  []*desk        // immutable, as client, once run
	going  sync.WaitGroup

	// Guarded by mu.
	mu     sync.Mutex
	asked  int
	taken  map[int]bool // questions that a desk was given
	twice  int          // given to a second one, or again
	fates  map[string]*fate
	failed map[string]int // by what the error says
}

// fate is what became of the questions of one desk; of those that none had, without a name.
type fate struct{ answered, failed int }

func newQuestions() *questions {
	return &questions{
		taken: make(map[int]bool), fates: make(map[string]*fate), failed: make(map[string]int),
	}
}

// question is a question, and its answer with who gives it.
type question struct {
	N  int    `json:"n"`
	By string `json:"by,omitempty"`
}

// answer is what a desk does.
func (q *questions) answer(k *desk) client.Handler {
	return func(ctx context.Context, r client.Request) ([]byte, error) {
		var is question
		if err := json.Unmarshal(r.Payload, &is); err != nil {
			return nil, err
		}
		q.mu.Lock()
		if q.taken[is.N] {
			q.twice++
		}
		q.taken[is.N] = true
		q.mu.Unlock()
		if err := rest(ctx, askTime); err != nil {
			return nil, err
		}
		is.By = k.name
		return json.Marshal(is)
	}
}

// run asks until stop is closed, and returns when nothing is outstanding any more.
func (q *questions) run(ctx context.Context, stop <-chan struct{}) {
	defer q.going.Wait()
	tick := time.NewTicker(time.Second / askRate)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		q.mu.Lock()
		q.asked++
		q.mu.Unlock()
		q.going.Go(func() { q.ask(ctx, n) })
	}
}

// ask asks one question. Its time is the node's default.
func (q *questions) ask(ctx context.Context, n int) {
	payload, err := json.Marshal(question{N: n})
	var is question
	if err == nil {
		payload, err = q.client.Request(ctx, askTopic, payload)
	}
	if err == nil {
		err = json.Unmarshal(payload, &is)
	}
	if err == nil && is.N != n {
		err = fmt.Errorf("the answer to question %d is for %d", n, is.N)
	}
	by, why := is.By, ""
	if err != nil {
		by, why = q.blame(err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	of := q.fates[by]
	if of == nil {
		of = &fate{}
		q.fates[by] = of
	}
	if err == nil {
		of.answered++
		return
	}
	of.failed++
	q.failed[why]++
}

// blame says which desk had a question that failed, and why it did.
func (q *questions) blame(err error) (name, why string) {
	var e *client.Error
	if !errors.As(err, &e) {
		return "", err.Error()
	}
	reason, _ := e.Details["reason"].(string)
	id, _ := e.Details["targetServiceId"].(string)
	for _, k := range q.desks {
		k.mu.Lock()
		for _, own := range k.ids {
			if strings.EqualFold(own, id) {
				name = k.name
			}
		}
		k.mu.Unlock()
	}
	return name, strings.TrimSpace(string(e.Code) + " " + reason)
}

// so is how far it is.
func (q *questions) so() (asked, answered, failed int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, of := range q.fates {
		answered, failed = answered+of.answered, failed+of.failed
	}
	return q.asked, answered, failed
}

// of is what became of a desk's.
func (q *questions) of(name string) fate {
	q.mu.Lock()
	defer q.mu.Unlock()
	return *cmp.Or(q.fates[name], &fate{})
}
