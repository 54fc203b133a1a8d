package admin

import (
	"cmp"
	"net/http"
	"time"

	"mbserver/server/census"
)

// loopRow is one loop.
type loopRow struct {
	Index             int     `json:"index"`
	Connections       int64   `json:"connections"`
	Slow              uint64  `json:"slowConnections"`
	Unread            uint64  `json:"unreadConnections"`
	Messages          uint64  `json:"received"`
	Sent              uint64  `json:"sent"`
	Dropped           uint64  `json:"dropped"`
	MessageRate       uint64  `json:"receivedRate"`
	SentRate          uint64  `json:"sentRate"`
	DroppedRate       uint64  `json:"droppedRate"`
	Turns             uint64  `json:"turns"`
	TurnSeconds       float64 `json:"turnSeconds"`
	TurnP50Ms         float64 `json:"turnP50Ms"`
	TurnP99Ms         float64 `json:"turnP99Ms"`
	RunningMs         float64 `json:"runningMs"`
	Busy              bool    `json:"busy"`
	InboxBytes        int64   `json:"inboxBytes"`
	InboxHeldBytes    int64   `json:"inboxHeldBytes"`
	InboxLimitBytes   int64   `json:"inboxLimitBytes"`
	MaxBacklogBytes   uint64  `json:"maxBacklogBytes"`
	ChargedBytes      int64   `json:"chargedBytes"`
	LaggingBytes      int64   `json:"laggingBytes"`
	RememberedTargets int64   `json:"routeTargets"`
}

// serveLoops shows the loops. There are few: all of them are.
func (s *Server) serveLoops(w http.ResponseWriter, r *http.Request, _ *viewer) {
	q := listingOf(r)
	first := top(q, []column[census.Loop]{
		{"index", true, byIndex},
		number("connections", func(l *census.Loop) int64 { return l.Connections }),
		number("receivedRate", func(l *census.Loop) uint64 { return l.MessageRate }),
		number("sentRate", func(l *census.Loop) uint64 { return l.SentRate }),
		number("dropped", func(l *census.Loop) uint64 { return l.Dropped }),
		number("turnSeconds", func(l *census.Loop) float64 { return l.TurnSeconds }),
		number("inboxBytes", func(l *census.Loop) int64 { return l.InboxBytes }),
		number("chargedBytes", func(l *census.Loop) int64 { return l.ChargedBytes }),
	}, byIndex)
	if q.refused(w) {
		return
	}
	now := time.Now()
	all := s.census.LoopsNow(now)
	for i := range all {
		first.Add(&all[i])
	}
	rows := []loopRow{}
	for _, l := range first.Sorted(q.offset) {
		rows = append(rows, loopRow{
			Index: l.Index, Connections: l.Connections, Slow: l.SlowConnections,
			Unread: l.UnreadConnections, Messages: l.Messages, Sent: l.Sent, Dropped: l.Dropped,
			MessageRate: l.MessageRate, SentRate: l.SentRate, DroppedRate: l.DroppedRate,
			Turns: l.Turns, TurnSeconds: l.TurnSeconds, TurnP50Ms: 1e3 * l.TurnP50,
			TurnP99Ms: 1e3 * l.TurnP99, RunningMs: float64(l.Running) / float64(time.Millisecond),
			Busy: l.Busy, InboxBytes: l.InboxBytes, InboxHeldBytes: l.InboxHeldBytes,
			InboxLimitBytes: l.InboxLimitBytes, MaxBacklogBytes: l.MaxBacklogBytes,
			ChargedBytes: l.ChargedBytes, LaggingBytes: l.LaggingBytes,
			RememberedTargets: l.RouteTargets,
		})
	}
	answerList(w, listed{instant(now.UnixMilli()), len(all), len(all), q.offset, q.limit},
		"loops", rows)
}

func byIndex(a, b *census.Loop) int { return cmp.Compare(a.Index, b.Index) }
