//go:build linux

package bench

import "github.com/HdrHistogram/hdrhistogram-go"

// requests measures a closed loop of clients that ask services.
func (t *try) requests() error {
	a := t.wire.(asker)
	service := "bench." + level("svc", 0)
	frame := len(a.appendRequest(nil, service, 0, 0, payloadOf(t.payload)))
	room := 2 * max(t.s.clients, 1) * t.s.flight * max(frame, a.answered(service, t.payload))
	for i := range t.s.subscribers {
		c, err := t.dial(responder, []string{"bench." + level("svc", i)})
		if err != nil {
			return err
		}
		c.own = make([]byte, 0, room+readSize)
		c.rest = make([]byte, 0, room)
		if err := t.loop.add(c, true); err != nil {
			return err
		}
	}
	var asked []link
	var times *hdrhistogram.Histogram
	if t.s.flight == 1 {
		times = newHistogram()
	}
	for i := range t.s.clients {
		topic := "bench." + level("svc", i%t.s.subscribers)
		slot := len(t.loop.conns)
		c, err := t.dial(requester, []string{topic})
		if err != nil {
			return err
		}
		as := &asking{flight: t.s.flight, answer: int64(a.answered(topic, t.payload)), times: times}
		for n := range t.s.flight {
			as.frames = a.appendRequest(as.frames, topic, slot, n, payloadOf(t.payload))
		}
		as.frame = len(as.frames) / t.s.flight
		c.asking, c.own = as, make([]byte, 0, 2*len(as.frames))
		asked = append(asked, link{c, t.loop.conns[i%t.s.subscribers]})
		if err := t.loop.add(c, true); err != nil {
			return err
		}
	}
	if err := t.settled(asked); err != nil {
		return err
	}
	if err := t.loop.converse(t.Warmup); err != nil {
		return err
	}
	if times != nil {
		times.Reset()
	}
	before := t.loop.tripsDone()
	m := t.meter()
	if err := t.loop.converse(t.Duration); err != nil {
		return err
	}
	if err := m.stop(t.loop.tripsDone() - before); err != nil {
		return err
	}
	if times != nil {
		t.percentiles(times)
	}
	return nil
}

// percentiles keeps the usual ones, in µs.
func (t *try) percentiles(h *hdrhistogram.Histogram) {
	t.figure(metricP50, "µs", false, float64(h.ValueAtQuantile(50))/1000)
	t.figure(metricP99, "µs", false, float64(h.ValueAtQuantile(99))/1000)
	t.figure(metricP999, "µs", false, float64(h.ValueAtQuantile(99.9))/1000)
	t.figure(metricMax, "µs", false, float64(h.Max())/1000)
}
