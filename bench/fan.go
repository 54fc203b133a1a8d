//go:build linux

package bench

import (
	"bytes"
	"fmt"
)

// batch is how many messages a publisher writes at once to n subscribers: many, as long as what is
// on its way stays small beside the buffers of kernel and server.
func (t *try) batch(n int) int {
	if t.s.batch > 0 {
		return t.s.batch
	}
	const bytesOnTheWay = 64 << 20
	frame := t.wire.delivered("bench.fan", t.payload)
	return min(max(bytesOnTheWay/window/max(n, 1)/frame, 1), 256, max(1<<20/window/frame, 1))
}

// fan measures a closed loop of publishers and subscribers.
func (t *try) fan() error {
	streams, err := t.streams()
	if err != nil {
		return err
	}
	if err := t.settled(links(streams...)); err != nil {
		return err
	}
	for _, s := range streams {
		s.begin()
	}
	if err := t.loop.pump(streams, t.Warmup); err != nil {
		return err
	}
	before := deliveries(streams)
	m := t.meter()
	if err := t.loop.pump(streams, t.Duration); err != nil {
		return err
	}
	return m.stop(deliveries(streams) - before)
}

// streams connects what a scenario needs. The node puts a newcomer on the loop with the fewest
// connections, so two that connect one after the other are on different loops: each publisher comes
// right after its only subscriber, or after the last of many.
func (t *try) streams() ([]*stream, error) {
	n := t.s.subscribers
	switch t.s.kind {
	case kindFan:
		s, err := t.fanOut(n, t.batch(n), window)
		return []*stream{s}, err
	case kindLone:
		s, err := t.fanOut(n, 1, 1)
		return []*stream{s}, err
	case kindPairs:
		streams := make([]*stream, n)
		for i := range streams {
			s := &stream{window: window}
			topic := "bench." + level("pair", i)
			share := t.batch(n) * t.wire.delivered(topic, t.payload)
			if err := t.subscriber(s, []string{topic}, share); err != nil {
				return nil, err
			}
			if err := t.publisher(s, topic, t.repeated(topic, t.batch(n))); err != nil {
				return nil, err
			}
			s.deliveries = t.batch(n)
			streams[i] = s
		}
		return streams, nil
	case kindFanIn:
		const topic, batch = "bench.fan", 64
		s := &stream{window: window, deliveries: n * batch}
		share := n * batch * t.wire.delivered(topic, t.payload)
		if err := t.subscriber(s, []string{topic}, share); err != nil {
			return nil, err
		}
		for range n {
			if err := t.publisher(s, topic, t.repeated(topic, batch)); err != nil {
				return nil, err
			}
		}
		return []*stream{s}, nil
	case kindWild:
		return t.wildcards()
	case kindTraffic:
		return t.traffic()
	}
	return nil, fmt.Errorf("scenario %s is no closed loop", t.s.Name)
}

// fanOut is one publisher and n subscribers of one topic.
func (t *try) fanOut(n, batch, rounds int) (*stream, error) {
	const topic = "bench.fan"
	s := &stream{window: rounds, deliveries: n * batch}
	share := batch * t.wire.delivered(topic, t.payload)
	for range n {
		if err := t.subscriber(s, []string{topic}, share); err != nil {
			return nil, err
		}
	}
	return s, t.publisher(s, topic, t.repeated(topic, batch))
}

func (t *try) repeated(topic string, n int) []byte {
	return bytes.Repeat(t.wire.appendPublish(nil, topic, payloadOf(t.payload)), n)
}

// subscriber adds one that receives share bytes in a round.
func (t *try) subscriber(s *stream, patterns []string, share int) error {
	c, err := t.dial(subscriber, patterns)
	if err != nil {
		return err
	}
	c.share = int64(share)
	s.subscribers = append(s.subscribers, c)
	return t.loop.add(c, true)
}

func (t *try) publisher(s *stream, topic string, burst []byte) error {
	c, err := t.dial(publisher, []string{topic})
	if err != nil {
		return err
	}
	s.indexes = append(s.indexes, int32(len(t.loop.conns)))
	s.publishers = append(s.publishers, c)
	s.burst = append(s.burst, burst)
	return t.loop.add(c, true)
}

// dial connects in a role and subscribes to all patterns. The first one is the channel of targets
// that have only one.
func (t *try) dial(r role, patterns []string) (*conn, error) {
	slot := len(t.loop.conns)
	frame := t.wire.delivered(patterns[0], t.payload)
	c, err := dial(t.placeOf(r), t.wire, r, patterns[0], slot, frame)
	if err != nil {
		return nil, err
	}
	for _, p := range patterns {
		if err := c.subscribe(t.wire, p, slot); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}
