package admin

import (
	"context"
	"errors"
	"io"
	"net/http"

	"mbserver/server/system"
)

// Operator is what may be done to a node. Any goroutine.
type Operator interface {
	// Drain has connections leave, rate a second (0: as configured), while the node goes on.
	Drain(rate int) error
	// Undrain ends that: the node is ready again.
	Undrain() error
	// Operate does something to a connection, and says how many subscriptions that ended; or that
	// there is none with that ID, or that ctx ended first.
	Operate(ctx context.Context, by system.Actor, o *system.Order) (ended int, err *system.Error)
}

// drainBytes bounds what POST /drain may hold.
const drainBytes = 1 << 10

// serveDrain takes the wish that the node is drained, or not any more.
func (s *Server) serveDrain(w http.ResponseWriter, r *http.Request, v *viewer) {
	wish, err := readDrain(http.MaxBytesReader(w, r.Body, drainBytes))
	if err != nil {
		answerError(w, http.StatusBadRequest, invalid, err.Error())
		return
	}
	if wish.Cancel {
		if err := s.operator.Undrain(); err != nil {
			answerError(w, http.StatusConflict, conflict, err.Error())
			return
		}
		s.acts(v, "the drain was cancelled")
		answerPlain(w, http.StatusOK, "ready")
		return
	}
	if err := s.operator.Drain(wish.Rate); err != nil {
		answerError(w, http.StatusConflict, conflict, err.Error())
		return
	}
	s.acts(v, "a drain was asked for", "rate", wish.Rate)
	answerPlain(w, http.StatusAccepted, "draining")
}

// drainWish is the body of POST /drain.
type drainWish struct {
	Rate   int  `json:"rate"` // connections a second; 0: as configured
	Cancel bool `json:"cancel"`
}

func readDrain(r io.Reader) (wish drainWish, err error) {
	switch {
	case !readObject(r, &wish):
		return wish, errors.New(`send one object such as {}, {"rate":100} or {"cancel":true}`)
	case wish.Rate < 0 || wish.Rate > 0 && wish.Cancel:
		return wish, errors.New("rate is at least 1, and goes with no cancel")
	}
	return wish, nil
}
