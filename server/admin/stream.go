package admin

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"mbserver/server/origin"
	"mbserver/server/permit"
)

// A stream is an answer that goes on: server-sent events (WHATWG HTML, section 9.2), each with a
// name and one line of JSON.
//
// Purpose. Somebody looks at a node while it works, and costs it next to nothing.
//
// Outline. What is shown comes through a channel that never makes its sender wait; the goroutine of
// the request takes what is there, writes it at once, and looks at the clock once a second. A
// client that is slow to read makes that goroutine wait, up to streamWrite; what comes meanwhile
// and finds no room is counted, and told.
//
// Invariants. Before anything is shown its client's permissions are looked at as they are now. It
// ends when the client goes away, may not see it any more, does not read, or the node ends; of all
// but the first and the third the client is told.
type stream struct {
	// Immutable after openStream.
	server  *Server
	out     http.ResponseWriter
	control *http.ResponseController
	gone    <-chan struct{} // closed when the client has left
	viewer  *viewer
	needs   permit.Words
	watches bool          // it looks at messages
	woken   chan struct{} // a token when permissions have changed

	// Owned by the goroutine of the request.
	buffer  []byte
	quiet   int    // ticks since something was written
	state   string // that was told
	refresh func() // takes over what the viewer may see now; nil: nothing to do
}

const internal = "INTERNAL_ERROR" // code of protocol §7

// openStream begins the answer, and returns nil when there is none, which was answered. Whoever
// gets one closes it.
func (s *Server) openStream(
	w http.ResponseWriter, r *http.Request, v *viewer, needs permit.Words, watches bool,
) *stream {
	if page, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site"); page != "" &&
		!ownPage(page, r.Host) || site == "cross-site" || site == "same-site" {
		// It could read nothing, but would hold a place.
		answerError(w, http.StatusForbidden, forbidden, "web pages of others may not ask for this",
			"reason", origin.BadOrigin)
		return nil
	}
	st := &stream{
		server: s, out: w, control: http.NewResponseController(w), gone: r.Context().Done(),
		viewer: v, needs: needs, watches: watches, woken: make(chan struct{}, 1),
	}
	if r.Method == http.MethodHead {
		st.head()
		return nil
	}
	if !s.streams.enter(st) {
		w.Header().Set("Retry-After", strconv.Itoa(int(streamRetry/time.Second)))
		answerError(w, http.StatusServiceUnavailable, unavailable,
			"there are as many streams as may be", "reason", "busy", "limit", streamsMost,
			"messagesLimit", watchesMost)
		return nil
	}
	// The server's deadlines are for short requests: the one for reading would end this one.
	if err := st.control.SetReadDeadline(time.Time{}); err != nil {
		s.streams.leave(st)
		answerError(w, http.StatusInternalServerError, internal, "there are no streams here")
		return nil
	}
	st.head()
	st.buffer = append(st.buffer, "retry: "...)
	st.buffer = strconv.AppendInt(st.buffer, streamRetry.Milliseconds(), 10)
	st.buffer = append(st.buffer, "\n\n"...)
	st.tellState()
	return st
}

// head writes the header of the answer.
func (st *stream) head() {
	private(st.out)
	h := st.out.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // of nginx
	st.out.WriteHeader(http.StatusOK)
}

// close gives the stream's place back.
func (st *stream) close() { st.server.streams.leave(st) }

// run shows what comes on feed, and calls tick once a second, until the stream ends.
func run[T any](st *stream, feed <-chan T, show func(T), tick func(now time.Time)) {
	clock := time.NewTicker(st.server.streams.tick)
	defer clock.Stop()
	for st.flush() {
		select {
		case <-st.gone:
			return
		case <-st.server.streams.quit:
			st.end("shutdown")
			return
		case <-st.woken:
			if !st.stands() {
				return
			}
		case one := <-feed:
			if !st.stands() {
				return
			}
			show(one)
			for more := true; more && len(st.buffer) < streamBatch; {
				select {
				case one = <-feed:
					show(one)
				default:
					more = false
				}
			}
		case now := <-clock.C:
			if !st.stands() {
				return
			}
			st.tellState()
			tick(now)
			if st.quiet++; st.quiet >= streamAlive && len(st.buffer) == 0 {
				st.buffer = append(st.buffer, ":\n\n"...) // a comment
			}
		}
	}
}

// stands says whether the client may still see this; when not, it is told, and that is the end.
func (st *stream) stands() bool {
	switch {
	case !st.viewer.still():
		st.end("unauthorized")
		return false
	case !st.viewer.holds(st.needs):
		st.end("forbidden")
		return false
	}
	if st.refresh != nil {
		st.refresh()
	}
	return true
}

// tellState says whether the node is ready, if that has changed.
func (st *stream) tellState() {
	ready, word := st.server.node.Ready()
	if word == st.state {
		return
	}
	st.state = word
	about := st.server.about
	st.event("state", struct {
		Ready   bool   `json:"ready"`
		State   string `json:"state"`
		NodeID  string `json:"nodeId"`
		Version string `json:"version"`
	}{ready, word, about.NodeID, about.Version})
}

// end is the last event: why the stream ends.
func (st *stream) end(reason string) {
	st.event("end", struct {
		Reason string `json:"reason"`
	}{reason})
	st.flush()
}

// event adds an event; v always marshals.
func (st *stream) event(name string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("admin: " + err.Error())
	}
	st.begin(name)
	st.buffer = append(st.buffer, b...)
	st.finish()
}

// begin begins an event, whose data is to be appended to buffer, on one line.
func (st *stream) begin(name string) {
	st.buffer = append(append(st.buffer, "event: "...), name...)
	st.buffer = append(st.buffer, "\ndata: "...)
}

// finish ends an event.
func (st *stream) finish() { st.buffer = append(st.buffer, "\n\n"...) }

// flush writes what there is; false is the end.
func (st *stream) flush() bool {
	if len(st.buffer) == 0 {
		return true
	}
	_ = st.control.SetWriteDeadline(time.Now().Add(st.server.streams.write))
	select {
	case <-st.server.streams.quit: // or its closer has set this before
		_ = st.control.SetWriteDeadline(time.Now().Add(streamEnd))
	default:
	}
	if _, err := st.out.Write(st.buffer); err != nil {
		return false
	}
	if err := st.control.Flush(); err != nil {
		return false
	}
	st.buffer, st.quiet = st.buffer[:0], 0
	return true
}

// Recheck has whoever is shown something held against what may be seen now: permissions have
// changed.
func (s *Server) Recheck() {
	if s != nil {
		s.streams.recheck()
	}
}
