package load

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"mbserver/client"
)

// publisher is one of a run's, on a goroutine of its own.
type publisher struct {
	run     *run
	client  *client.Client
	payload []byte
	waiting []client.Pending // in the order sent
}

// publish sends until the duration is over or ctx ends, and waits until the node has taken all.
func (r *run) publish(ctx context.Context, c *client.Client, index int) error {
	p := &publisher{run: r, client: c, payload: bytes.Repeat([]byte("x"), r.options.Payload)}
	err := p.send(ctx, index)
	finish := context.WithoutCancel(ctx)
	for err == nil && len(p.waiting) > 0 {
		err = p.settleOne(finish)
	}
	if err == nil {
		err = c.Settle(finish)
	}
	if err != nil {
		return fmt.Errorf("publisher %d: %w", index+1, err)
	}
	return nil
}

// send is an open loop when there is a rate: message n is due at a fixed time. A message that was
// not sent in time because the publisher was held up counts from when it was due, one that was late
// because this goroutine had slept too long from when it woke up: that is not the node's doing.
func (p *publisher) send(ctx context.Context, index int) error {
	o := &p.run.options
	interval, first := time.Duration(0), time.Duration(0)
	if o.Rate > 0 {
		interval = time.Duration(float64(o.Publishers) / o.Rate * float64(time.Second))
		first = interval * time.Duration(index) / time.Duration(o.Publishers)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	woken := time.Duration(0)
	for n := 0; ; n++ {
		now := time.Since(p.run.start)
		due := first + time.Duration(n)*interval
		if o.Rate == 0 {
			due = now
		}
		if due >= o.Duration || now >= o.Duration+longest || ctx.Err() != nil {
			return nil
		}
		if wait := due - now; wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return nil
			}
			woken = time.Since(p.run.start)
		}
		stamp(p.payload, max(due, woken))
		if err := p.one(ctx); err != nil {
			return err
		}
		p.run.published.Add(1)
	}
}

func (p *publisher) one(ctx context.Context) error {
	o := &p.run.options
	ctx = context.WithoutCancel(ctx) // What was begun is finished.
	if !o.Ack {
		return p.client.Publish(ctx, o.Topic, p.payload)
	}
	if len(p.waiting) >= ackWindow {
		if err := p.settleOne(ctx); err != nil {
			return err
		}
	}
	pending, err := p.client.PublishAsync(ctx, o.Topic, p.payload)
	if err == nil {
		p.waiting = append(p.waiting, pending)
	}
	return err
}

// settleOne waits for the oldest acknowledgement. Only a lost connection is an error.
func (p *publisher) settleOne(ctx context.Context) error {
	_, err := p.waiting[0].Wait(ctx)
	p.waiting = p.waiting[1:]
	if e, refused := errors.AsType[*client.Error](err); refused {
		p.run.refuse(e)
		return nil
	}
	return err
}

// stamp writes a time after the start to the beginning of a payload: text, so that it may go
// wherever text may.
func stamp(payload []byte, at time.Duration) {
	var ns [LeastPayload / 2]byte
	binary.BigEndian.PutUint64(ns[:], uint64(at))
	hex.Encode(payload, ns[:])
}

// readStamp reads it; false means that the message is not of this run.
func readStamp(payload []byte) (time.Duration, bool) {
	var ns [LeastPayload / 2]byte
	if len(payload) < LeastPayload {
		return 0, false
	}
	if _, err := hex.Decode(ns[:], payload[:LeastPayload]); err != nil {
		return 0, false
	}
	return time.Duration(binary.BigEndian.Uint64(ns[:])), true
}
