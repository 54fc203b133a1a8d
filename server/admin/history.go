package admin

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"mbserver/server/metrics"
)

// History is the last minutes of a node, for who comes after something has happened, without a
// program beside it.
//
// Outline. A goroutine takes a sample each second, some microseconds, and keeps what was done since
// the one before. When nothing has happened it waits until a loop works again: the time between is
// one moment, and costs an idle node nothing.
//
// Cost. historyMost moments, some 200 bytes each.
type history struct {
	// Immutable after start.
	source Source
	quit   chan struct{} // closed to end it; nil: there is none
	done   chan struct{} // closed when it has ended
	ended  sync.Once     // quit is closed once

	latest atomic.Pointer[metrics.Sample] // the last that was taken

	// Guarded by mu.
	mu      sync.Mutex
	moments []*moment // in order, round and round
	next    int       // place of the next one, once they are as many as may be
}

const (
	historyTime = 15 * time.Minute
	historyTick = time.Second
	historyMost = int(historyTime / historyTick)
)

// start begins to take samples.
func (h *history) start(source Source) {
	h.source = source
	h.quit, h.done = make(chan struct{}), make(chan struct{})
	h.latest.Store(source.Glance(time.Now()))
	go h.run()
}

func (h *history) run() {
	defer close(h.done)
	timer := time.NewTimer(historyTick)
	defer timer.Stop()
	for {
		select {
		case <-h.quit:
			return
		case <-timer.C:
		}
		if !h.take(time.Now()) {
			select {
			case <-h.quit:
				return
			case <-h.source.Works(): // at the worst, what it did before that sample
			}
			h.rested(time.Now())
		}
		timer.Reset(historyTick)
	}
}

// take takes a sample, and says whether anything has happened since the last.
func (h *history) take(now time.Time) bool {
	from, to := h.latest.Load(), h.source.Glance(now)
	h.add(from, to)
	return !lasts(from, to)
}

// rested notes that nothing has happened since the last sample until now, or but now.
func (h *history) rested(now time.Time) {
	from := h.latest.Load()
	to := *from
	to.At = now
	h.add(from, &to)
}

// add keeps the moment from the last sample to another, which is the last from here on.
func (h *history) add(from, to *metrics.Sample) {
	m := momentBetween(from, to)
	h.latest.Store(to)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.moments) < historyMost {
		h.moments = append(h.moments, m)
		return
	}
	h.moments[h.next] = m
	h.next = (h.next + 1) % historyMost
}

// recent returns a sample of a second ago or later: since an older one nothing has happened, or has
// but now.
func (h *history) recent(now time.Time) *metrics.Sample {
	s := h.latest.Load()
	if now.Sub(s.At) > historyTick {
		later := *s
		later.At = now.Add(-historyTick)
		return &later
	}
	return s
}

// stop ends it.
func (h *history) stop() {
	if h.quit != nil {
		h.ended.Do(func() { close(h.quit) })
		<-h.done
	}
}

// since returns the moments after a time in Unix ms, in order. They are not changed any more.
func (h *history) since(after float64) (list []*moment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.moments {
		if m := h.moments[(h.next+i)%len(h.moments)]; m[momentAt] > after {
			list = append(list, m)
		}
	}
	return list
}

// serveHistory answers with the last minutes: a list of numbers for each part of a moment.
func (s *Server) serveHistory(w http.ResponseWriter, r *http.Request, _ *viewer) {
	now := time.Now()
	after := float64(now.Add(-historyTime).UnixMilli())
	if text := r.URL.Query().Get("since"); text != "" {
		since, err := strconv.ParseInt(text, 10, 64)
		if err != nil || since < 0 {
			answerError(w, http.StatusBadRequest, invalid,
				"since: must be a time in ms since 1970", "field", "since")
			return
		}
		after = max(after, float64(since))
	}
	list := s.history.since(after)
	b := []byte(`{"nodeId":`)
	b = strconv.AppendQuote(b, s.about.NodeID)
	b = strconv.AppendInt(append(b, `,"now":`...), now.UnixMilli(), 10)
	b = appendLimits(append(b, ','), s.history.latest.Load())
	b = append(b, `,"series":{`...)
	for part, name := range momentNames {
		if part > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, name), ":["...)
		for i, m := range list {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendPart(b, part, m[part])
		}
		b = append(b, ']')
	}
	answerBytes(w, append(b, "}}\n"...))
}

// appendLimits appends the bounds of the levels, as a member of a JSON object.
func appendLimits(b []byte, s *metrics.Sample) []byte {
	b = append(b, `"limits":{"connections":`...)
	b = strconv.AppendInt(b, s.Limits.Connections, 10)
	b = strconv.AppendInt(append(b, `,"outstanding":`...), s.Limits.Outstanding, 10)
	b = strconv.AppendInt(append(b, `,"memoryBytes":`...), s.Limits.Memory, 10)
	return append(b, '}')
}
