package observe

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSince(t *testing.T) {
	start := time.Now()
	figures := func(uptime, count, dropped float64) Figures {
		return Figures{
			Uptime: uptime, "router.message.count": count, "router.message.size.avg": 10,
			"router.message.rate": 77, "connection.outbound.dropped.count": dropped,
			"connection.outbound.dropped.rate": 5,
		}
	}
	sent := func(n float64) map[string]float64 {
		return map[string]float64{"mb_messages_sent_total": n}
	}
	before := &Sample{At: start, Figures: figures(10, 100, 50), Exported: sent(1000)}
	after := &Sample{At: start.Add(2 * time.Second), Figures: figures(12, 300, 50),
		Exported: sent(3000)}
	r := after.Since(before)
	if r.In != 100 || r.BytesIn != 1000 || r.Dropped != 0 || r.Out == nil || *r.Out != 1000 ||
		r.BytesOut != nil {
		t.Errorf("between two samples: %+v", r)
	}
	// The first sample, and the first of a node that was started anew: what the node says itself.
	anew := &Sample{At: start.Add(3 * time.Second), Figures: figures(1, 20, 0), Exported: sent(5)}
	for _, r := range []Rates{after.Since(nil), anew.Since(after)} {
		if r.In != 77 || r.BytesIn != 770 || r.Dropped != 5 || r.Out != nil {
			t.Errorf("without a sample before: %+v", r)
		}
	}
	after.Exported = nil
	if r := after.Since(before); r.Out != nil {
		t.Errorf("nobody told what goes out: %v", *r.Out)
	}
}

func TestParseExport(t *testing.T) {
	e, err := parseExport(strings.NewReader("# HELP a_total x\na_total 12\nb{c=\"d\"} 3\n" +
		"c 1.5e+06\n" +
		"mb_info{version=\"1\",node=\"n-1\"} 1\nbroken\nnan NaN?\n"))
	if err != nil || e.NodeID != "n-1" || len(e.Values) != 2 || e.Values["a_total"] != 12 ||
		e.Values["c"] != 1.5e6 {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestSort(t *testing.T) {
	number := func(v int64) *int64 { return &v }
	all := []Connection{
		{ID: "1", ConnectedAt: "2026-01-03", LastHeartbeat: "2026-01-09", Transport: "ws"},
		{ID: "2", Name: "b", Outstanding: 5, ConnectedAt: "2026-01-02",
			LastHeartbeat: "2026-01-08", Transport: "tcp"},
		{ID: "3", Name: "A", Queued: 1, ConnectedAt: "2026-01-04", LastHeartbeat: "2026-01-07",
			Transport: "wss", Dropped: number(3)},
		{ID: "4", BacklogBytes: number(9), ConnectedAt: "2026-01-01", LastHeartbeat: "2026-01-06",
			Transport: "tls"},
	}
	for order, want := range map[string]string{
		"load": "4321", "name": "3214", "transport": "2413", "age": "4213", "idle": "4321",
		"outstanding": "2314", "queued": "3214", "backlog": "4321", "dropped": "3214",
	} {
		if !slices.Contains(Orders(), order) {
			t.Errorf("%s is no order", order)
		}
		sorted := slices.Clone(all)
		Sort(sorted, order)
		got := ""
		for _, c := range sorted {
			got += c.ID
		}
		if got != want {
			t.Errorf("%s: %s, want %s", order, got, want)
		}
	}
	if len(Orders()) != len(orders)+1 {
		t.Errorf("%d names of %d orders and load", len(Orders()), len(orders))
	}
}

func TestWho(t *testing.T) {
	s := Subscription{Subscribers: []Subscriber{
		{ServiceID: "0123456789"}, {ServiceID: "1", Name: "clock"}, {ServiceID: "2"},
		{ServiceID: "3"},
	}}
	if got, want := s.Who(2), "01234567, clock and 2 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := s.Who(8), "01234567, clock, 2, 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
