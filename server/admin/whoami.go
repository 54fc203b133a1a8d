package admin

import (
	"net/http"

	"mbserver/server/permit"
)

// who is somebody, and what he may see and do here.
type who struct {
	NodeID   string   `json:"nodeId"`
	Version  string   `json:"version"`
	Started  string   `json:"startedAt"` // ISO 8601
	Server   string   `json:"server"`    // URL for clients, as seen from the node's machine
	Identity string   `json:"identity"`  // "": no credentials
	Words    []string `json:"words"`     // of its roles
	Payloads bool     `json:"payloads"`  // of topics that it may subscribe to
	Operator bool     `json:"operator"`  // may change the node
	Sends    bool     `json:"sends"`     // may send messages from here, as the node allows
	Asks     bool     `json:"asks"`      // who it is makes a difference: the node has roles

	// Of what it sends something is allowed.
	Publishes bool `json:"publishes"`
	Requests  bool `json:"requests"`
}

// serveWhoAmI says who asks.
func (s *Server) serveWhoAmI(w http.ResponseWriter, _ *http.Request, v *viewer) {
	answerJSON(w, http.StatusOK, &who{
		NodeID: s.about.NodeID, Version: s.about.Version,
		Started: instant(s.started.UnixMilli()), Server: s.about.Server,
		Identity: v.identity,
		Words:    append([]string{}, v.rules.Words().Names()...),
		Payloads: v.payloads, Operator: v.operator, Sends: v.sends(),
		Asks:      v.rules != nil,
		Publishes: v.sends() && v.rules.Some(permit.Publish),
		Requests:  v.sends() && v.rules.Some(permit.Request),
	})
}
