package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"mbserver/client"
)

// who is somebody, and what he may see and do here.
type who struct {
	NodeID   string   `json:"nodeId"`
	Version  string   `json:"version"`
	Server   string   `json:"server"`   // URL for clients, as seen from the node's machine
	Identity string   `json:"identity"` // "": no credentials
	Words    []string `json:"words"`    // of its roles
	Payloads bool     `json:"payloads"` // of topics that it may subscribe to
	Operator bool     `json:"operator"` // may change the node
	Sends    bool     `json:"sends"`    // may send messages from here, as the node allows
}

// serveWhoAmI says who asks.
func (s *Server) serveWhoAmI(w http.ResponseWriter, _ *http.Request, v *viewer) {
	answerJSON(w, http.StatusOK, &who{
		NodeID: s.about.NodeID, Version: s.about.Version, Server: s.about.Server,
		Identity: v.identity,
		Words:    append([]string{}, v.rules.Words().Names()...),
		Payloads: v.payloads, Operator: v.operator, Sends: v.sends(),
	})
}

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
	ctx, cancel := context.WithTimeout(r.Context(), sendTime)
	defer cancel()
	answer, err := s.ask(ctx, r, func(c *client.Client) (any, error) {
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
