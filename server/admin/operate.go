package admin

import (
	"context"
	"io"
	"net/http"
	"time"

	"mbserver/server/system"
)

// operateTimeout is how long somebody waits for a loop that is busy.
const operateTimeout = 5 * time.Second

// serveOrder does something to a connection: the body is the payload of the request on the system
// topic that does the same (protocol §8). The node writes the line of the log.
func (s *Server) serveOrder(d system.Deed) handler {
	return func(w http.ResponseWriter, r *http.Request, v *viewer) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			answerError(w, http.StatusBadRequest, invalid, err.Error())
			return
		}
		o, wrong := system.ParseOrder(d, body)
		if wrong != nil {
			answerError(w, http.StatusBadRequest, invalid, wrong.Message)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), operateTimeout)
		defer cancel()
		by := system.Actor{Identity: v.identity, Remote: v.remote}
		ended, refused := s.operator.Operate(ctx, by, o)
		switch {
		case refused == nil:
			answerBytes(w, append(system.AppendDone(nil, o, ended), '\n'))
		case ctx.Err() != nil:
			answerError(w, http.StatusServiceUnavailable, string(refused.Code), refused.Message)
		default:
			answerError(w, http.StatusNotFound, notFound, refused.Message,
				"serviceId", o.Of.String())
		}
	}
}
