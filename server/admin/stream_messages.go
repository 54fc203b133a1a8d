package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mbserver/codec"
	"mbserver/server/permit"
	"mbserver/server/watch"
	"mbserver/topic"
)

// What a stream of messages shows unless it is told otherwise.
const (
	watchRate  = 20      // messages a second
	watchBytes = 1 << 10 // of a payload
)

// serveMessageStream shows messages of a pattern as they pass.
func (s *Server) serveMessageStream(w http.ResponseWriter, r *http.Request, v *viewer) {
	o, field, err := readWatch(r.URL.Query())
	if err != nil {
		answerError(w, http.StatusBadRequest, invalid, field+": "+err.Error(), "field", field)
		return
	}
	st := s.openStream(w, r, v, permit.TopicList, true)
	if st == nil {
		return
	}
	defer st.close()
	s.acts(v, "messages are watched: "+o.Pattern.String(), "topic", o.Pattern.String(),
		"payloads", v.payloads)
	o.Rules = v.rules
	look, stop := s.source.Watch(o)
	defer stop()
	st.refresh = func() { look.SetRules(v.rules) }
	var told, is watchCount
	var lower []byte
	run(st, look.Messages(), func(m *watch.Message) {
		lower = topic.Lower(lower[:0], []byte(m.Topic))
		may, any := v.mayRead(lower)
		if !any {
			return // a reload has come between
		}
		is.Shown++
		st.begin("message")
		st.buffer = m.Append(st.buffer, may)
		st.finish()
	}, func(time.Time) {
		if is.Passed, is.Missed = look.Counts(); is != told {
			told = is
			st.event("count", is)
		}
	})
}

// watchCount is how much of what has passed was shown since the stream began.
type watchCount struct {
	Passed uint64 `json:"passed"` // messages that the client may know of
	Shown  uint64 `json:"shown"`
	Missed uint64 `json:"missed"` // not shown because the client reads too slowly
}

// mayRead says what of a message on a canonical topic of the user v may see, and whether v may know
// of it: whoever may subscribe to it, request or respond on it may, as in the audit (protocol §8).
func (v *viewer) mayRead(name []byte) (may watch.Shown, any bool) {
	reads := v.rules.Topic(permit.Subscribe, name)
	any = reads || v.rules.Topic(permit.Request, name) || v.rules.Topic(permit.Respond, name)
	return watch.Shown{Sender: v.holds(permit.Connection), Payload: v.payloads && reads}, any
}

// readWatch reads what is wanted. An error belongs to a field.
func readWatch(query url.Values) (o watch.Options, field string, err error) {
	o.Rate, o.Bytes = watchRate, watchBytes
	if o.Pattern, err = topic.ParsePattern(query.Get("topic")); err != nil {
		return o, "topic", err
	}
	if o.Pattern.System() {
		return o, "topic", fmt.Errorf("messages of the node's own topics are not shown")
	}
	o.Actions = []codec.Action{codec.Publish, codec.Request, codec.Response}
	if text := query.Get("action"); text != "" {
		if o.Actions, err = readActions(text); err != nil {
			return o, "action", err
		}
	}
	if o.Rate, err = readNumber(query, "rate", o.Rate, 1, watch.RateMost); err != nil {
		return o, "rate", err
	}
	o.Bytes, err = readNumber(query, "bytes", o.Bytes, 0, watch.BytesMost)
	return o, "bytes", err
}

// readActions reads a list of actions.
func readActions(text string) (actions []codec.Action, err error) {
	for name := range strings.SplitSeq(text, ",") {
		a := codec.Publish
		for a <= codec.Response && a.String() != name {
			a++
		}
		if a > codec.Response {
			return nil, fmt.Errorf("must be publish, request or response, or several of them")
		}
		actions = append(actions, a)
	}
	return actions, nil
}

// readNumber reads a number of a query, of least to most; def when it is not there.
func readNumber(query url.Values, name string, def, least, most int) (int, error) {
	text := query.Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("must be a number of %d to %d", least, most)
	}
	return n, nil
}
