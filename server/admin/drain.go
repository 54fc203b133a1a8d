package admin

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// Operator is what may be done to a node. Any goroutine.
type Operator interface {
	// Drain has connections leave, rate a second (0: as configured), while the node goes on.
	Drain(rate int) error
	// Undrain ends that: the node is ready again.
	Undrain() error
}

// drainBytes bounds what POST /drain may hold.
const drainBytes = 1 << 10

// serveDrain takes the wish that the node is drained, or not any more. The listener has no
// credentials, so that it must be allowed by the configuration; and no web page may ask: a browser
// adds an Origin to what a page posts, and sends no application/json for a form.
func (s *Server) serveDrain(w http.ResponseWriter, r *http.Request) {
	if s.operator == nil {
		answerPlain(w, http.StatusForbidden, "this listener changes nothing: admin.operator")
		return
	}
	if r.Header.Get("Origin") != "" {
		answerPlain(w, http.StatusForbidden, "web pages may not ask for this")
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
		kind != "application/json" {
		answerPlain(w, http.StatusUnsupportedMediaType, "send application/json")
		return
	}
	wish, err := readDrain(http.MaxBytesReader(w, r.Body, drainBytes))
	if err != nil {
		answerPlain(w, http.StatusBadRequest, err.Error())
		return
	}
	log := s.log.With("remote", r.RemoteAddr)
	if wish.Cancel {
		if err := s.operator.Undrain(); err != nil {
			answerPlain(w, http.StatusConflict, err.Error())
			return
		}
		log.Info("the drain was cancelled: " + r.RemoteAddr)
		answerPlain(w, http.StatusOK, "ready")
		return
	}
	if err := s.operator.Drain(wish.Rate); err != nil {
		answerPlain(w, http.StatusConflict, err.Error())
		return
	}
	log.Info("a drain was asked for: "+r.RemoteAddr, "rate", wish.Rate)
	answerPlain(w, http.StatusAccepted, "draining")
}

// drainWish is the body of POST /drain.
type drainWish struct {
	Rate   int  `json:"rate"` // connections a second; 0: as configured
	Cancel bool `json:"cancel"`
}

func readDrain(r io.Reader) (wish drainWish, err error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	err = d.Decode(&wish)
	switch {
	case err != nil || d.Decode(&struct{}{}) != io.EOF:
		return wish, errors.New(`send one object such as {}, {"rate":100} or {"cancel":true}`)
	case wish.Rate < 0 || wish.Rate > 0 && wish.Cancel:
		return wish, errors.New("rate is at least 1, and goes with no cancel")
	}
	return wish, nil
}
