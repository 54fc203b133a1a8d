package admin

import (
	"net/http"
	"time"
)

// clusterPage is what /clusterz says.
type clusterPage struct {
	Alone    bool       `json:"alone"`    // there is no cluster
	Island   bool       `json:"island"`   // NATS does not answer
	Lost     uint64     `json:"lost"`     // publishes of other nodes
	Waiting  int64      `json:"waiting"`  // bytes for NATS
	Interest uint64     `json:"interest"` // version of what this node wants
	Peers    []peerPage `json:"peers"`
}

// peerPage is one of the other nodes; times are in milliseconds.
type peerPage struct {
	Name        string    `json:"name"`
	ID          string    `json:"id"`
	Version     string    `json:"version"`
	State       string    `json:"state"`
	Draining    bool      `json:"draining"`
	Since       time.Time `json:"since"`
	Connections int64     `json:"connections"`
	RoundTrip   float64   `json:"rttMs"`
	Sent        uint64    `json:"sent"`
	Dropped     uint64    `json:"dropped"`
	Received    uint64    `json:"received"`
	Lost        uint64    `json:"lost"`
	Asked       uint64    `json:"asked"`
	Repaired    uint64    `json:"repaired"`
	Patterns    int       `json:"patterns"`
	Interest    uint64    `json:"interest"`
	Confirmed   uint64    `json:"confirmed"`
}

// serveCluster tells of the other nodes, as system.node.list does.
func (s *Server) serveCluster(w http.ResponseWriter, _ *http.Request, _ *viewer) {
	c := s.node.Cluster(time.Now())
	page := clusterPage{
		Alone: !c.Joined, Island: c.Island, Lost: c.Lost, Waiting: c.Waiting,
		Interest: c.Interest, Peers: make([]peerPage, 0, len(c.Peers)),
	}
	for i := range c.Peers {
		p := &c.Peers[i]
		page.Peers = append(page.Peers, peerPage{
			Name: p.Name, ID: p.ID, Version: p.Version, State: p.State, Draining: p.Draining,
			Since: p.Since.UTC().Truncate(time.Millisecond), Connections: p.Connections,
			RoundTrip: float64(p.RoundTrip.Microseconds()) / 1000,
			Sent:      p.Sent, Dropped: p.Dropped, Received: p.Received, Lost: p.Lost,
			Asked: p.Asked, Repaired: p.Repaired,
			Patterns: p.Patterns, Interest: p.Interest, Confirmed: p.Confirmed,
		})
	}
	answerJSON(w, http.StatusOK, page)
}
