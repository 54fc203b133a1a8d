package admin

import (
	"context"
	"net/http"
	"time"

	"mbserver/server/event"
)

// Storied is a node that remembers the lives of its connections. Any goroutine.
type Storied interface {
	// Story returns what is remembered of the connection with that ID, one that has left lately
	// too. It waits for a loop, until ctx ends: the error is that of ctx, or says that there is no
	// such connection.
	Story(ctx context.Context, id string) (*event.Story, error)
}

// storyTime is how long a loop may take to tell.
const storyTime = 2 * time.Second

// shownEvent is one of /eventz.
type shownEvent struct {
	At      string `json:"at"` // ISO 8601
	Event   string `json:"event"`
	Text    string `json:"text"`
	Count   uint32 `json:"count"`           // how often, from At until Until
	Until   string `json:"until,omitempty"` // when it came last, or was over
	Ongoing bool   `json:"ongoing,omitempty"`
}

type shownStory struct {
	ID        string       `json:"id"`
	Name      string       `json:"name,omitempty"`
	Identity  string       `json:"identity,omitempty"`
	Remote    string       `json:"remote"`
	Transport string       `json:"transport"`
	Open      bool         `json:"open"`
	Events    []shownEvent `json:"events"`    // the oldest first
	Forgotten int          `json:"forgotten"` // events behind the opening, which gave way
}

// serveEvents says what a connection went through.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request, _ *viewer) {
	id := r.URL.Query().Get("id")
	if id == "" {
		answerError(w, http.StatusBadRequest, invalid, "say whose events: ?id=", "field", "id")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), storyTime)
	defer cancel()
	story, err := s.node.Story(ctx, id)
	switch {
	case err == nil:
		answerJSON(w, http.StatusOK, showStory(story))
	case ctx.Err() != nil:
		answerError(w, http.StatusServiceUnavailable, unavailable,
			"the loop of this connection does not answer", "reason", "busy")
	default:
		answerError(w, http.StatusNotFound, notFound,
			"there is no such connection, nor is it one of the last that have left")
	}
}

func showStory(story *event.Story) *shownStory {
	shown := &shownStory{
		ID: story.ID, Name: story.Name, Identity: story.Identity, Remote: story.Remote,
		Transport: story.Transport, Forgotten: story.Forgotten, Open: true,
		Events: make([]shownEvent, len(story.Events)),
	}
	for i := range story.Events {
		e := &story.Events[i]
		to := &shown.Events[i]
		*to = shownEvent{
			At: isoTime(e.At), Event: e.Kind.String(), Text: e.String(), Count: e.Count,
		}
		switch e.Span {
		case 0:
		case event.Ongoing:
			to.Ongoing = true
		default:
			to.Until = isoTime(e.At + int64(e.Span))
		}
		if e.Kind == event.Closed {
			shown.Open = false
		}
	}
	return shown
}
