package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"mbserver/client"
)

// serveExplain asks the node what became of a message, or what would.
func (s *Server) serveExplain(w http.ResponseWriter, r *http.Request, _ *viewer) {
	wish := make(map[string]any)
	query := r.URL.Query()
	for _, name := range []string{"requestId", "topic", "action", "identity"} {
		if query.Has(name) {
			wish[name] = query.Get(name)
		}
	}
	if text := query.Get("payloadBytes"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			answerError(w, http.StatusBadRequest, invalid,
				"payloadBytes: must be a whole number", "field", "payloadBytes")
			return
		}
		wish["payloadBytes"] = n
	}
	answer, err := s.ask(r, sendTime, func(ctx context.Context, c *client.Client) (any, error) {
		payload, err := json.Marshal(wish)
		if err != nil {
			return nil, err
		}
		b, err := c.Request(ctx, "system.explain", payload)
		return json.RawMessage(b), err
	})
	if err != nil {
		answerFailure(w, err)
		return
	}
	answerJSON(w, http.StatusOK, answer)
}
