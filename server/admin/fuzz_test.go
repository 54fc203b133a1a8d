package admin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"mbserver/server/census"
	"mbserver/server/metrics"
	"mbserver/server/origin"
	"mbserver/server/permit"
	"mbserver/server/system"
)

type fakeNode struct{ sound }

func (fakeNode) Sample(time.Time) *metrics.Sample { return &metrics.Sample{} }
func (fakeNode) Ready() (bool, string)            { return false, "starting" }
func (fakeNode) Drain(int) error                  { return nil }
func (fakeNode) Undrain() error                   { return errors.New("no drain") }
func (fakeNode) Operate(
	context.Context, system.Actor, *system.Order,
) (int, *system.Error) {
	return 0, &system.Error{Message: "no such service"}
}
func (fakeNode) Live() (bool, string)              { return true, "ok" }
func (fakeNode) Load() metrics.Load                { return metrics.Load{Loops: 1} }
func (fakeNode) Cluster(time.Time) metrics.Cluster { return metrics.Cluster{} }

// fakeDesk knows one token, and has nobody else in but to look.
type fakeDesk struct{}

func (fakeDesk) Anonymous() (*permit.Rules, bool) { return nil, true }

func (fakeDesk) Identify(token string, _ netip.Addr) (
	string, func() (*permit.Rules, bool), time.Duration, error,
) {
	if token != "good" {
		return "", nil, time.Second, errors.New("locked_out")
	}
	return "anna", func() (*permit.Rules, bool) { return nil, true }, 0, nil
}

// fakeCensus has one of each.
type fakeCensus struct{}

func (fakeCensus) Connections(_ time.Time, f func(*census.Connection)) {
	f(&census.Connection{Name: "<1>", Serves: true})
}

func (fakeCensus) Connection(
	_ context.Context, id string, _ int, _ time.Time,
) (*census.Detail, error) {
	if id == "1" {
		return &census.Detail{Pauses: []string{"share"}}, nil
	}
	return nil, census.ErrUnknown
}

func (fakeCensus) LoopsNow(time.Time) []census.Loop { return make([]census.Loop, 2) }

func (fakeCensus) Topics(
	_ context.Context, q *census.Topics, _ time.Time,
) (*census.Branches, error) {
	b := census.NewBranches(q)
	b.Add("a.b.#")
	b.End(func(string) (int, int) { return 1, 2 })
	return b, nil
}

func (fakeCensus) SubscribersOf(pattern, _ string, f func(*census.Subscriber)) error {
	if pattern == "" {
		return errors.New("empty")
	}
	f(&census.Subscriber{Name: "<1>"})
	return nil
}

// FuzzRoutes holds the operators' pages to: whatever the HTTP library takes for a request is
// answered, with nothing but a page to GET and HEAD, a redirect to such a page, or a refusal.
func FuzzRoutes(f *testing.F) {
	for _, line := range []string{
		"GET / ", "GET /metrics ", "HEAD /livez?x=1 ", "POST /readyz ", "GET //metrics/../ ",
		"POST /drain ", "GET /drain ", "OPTIONS * ", "CONNECT a:1 ",
		"GET /debug/pprof/ ", "GET http://x/metrics ", "GET /loopz?sort=index ",
		"GET /connz?sort=dropped&limit=20&search=a&state=slow&access_token=good ",
		"GET /connz/1?limit=1&offset=1 ", "GET /connz/2 ", "GET /servicez?offset=x ",
		"GET /topicz?prefix=a&flat=true&after=b ", "GET /topicz?pattern=a&action=request ",
		"GET /configz?only=set&source=file ", "GET /connz?access_token=bad ",
		"GET /troublez?limit=x ", "GET /eventz?id=x ", "GET /troublez?kind=fault ",
		"POST /kick ", "GET /mute ", "GET /clusterz ",
		"GET /whoamiz ", "GET /explainz?topic=a&payloadBytes=x ", "GET /console/app.js ",
		"GET /console/../admin.go ", "GET /console/ ", "POST /unsubscribe ",
	} {
		f.Add([]byte(line + "HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n"))
	}
	f.Add([]byte("POST /request HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
		"Authorization: Bearer good\r\nContent-Length: 13\r\n\r\n" + `{"topic":"a"}`))
	f.Add([]byte("POST /kick HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
		"Authorization: Bearer good\r\nContent-Length: 52\r\n\r\n" +
		`{"serviceId":"6f9f1c3e-58b6-4b6c-9d6c-2f1f5d0c7a11"}`))
	f.Add([]byte("POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n" +
		"Content-Type: application/json\r\nAuthorization: Bearer good\r\n\r\n{}"))
	s := &Server{
		node: fakeNode{}, operator: fakeNode{}, about: About{Version: "<1>", NodeID: "&"},
		log: slog.New(slog.DiscardHandler), desk: fakeDesk{}, census: fakeCensus{}, loopback: true,
		names: origin.NewRules(nil, nil), walks: newWalks(),
		dial:     func(netip.AddrPort) (net.Conn, error) { return nil, errors.New("full") },
		settings: func() []census.Setting { return []census.Setting{{Key: "k", Default: "1"}} },
		reading:  func() census.Reading { return census.Reading{Fault: "<1>"} },
	}
	routes := s.routes(false)
	f.Fuzz(func(t *testing.T, head []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, r)
		looks := r.Method == http.MethodGet || r.Method == http.MethodHead
		switch w.Code {
		case http.StatusOK, http.StatusServiceUnavailable:
			if sends := r.URL.Path == "/publish" || r.URL.Path == "/request"; !looks && !sends {
				t.Fatalf("%q is answered %d %q", head, w.Code, w.Body)
			}
			if bytes.Contains(w.Body.Bytes(), []byte("<1>")) &&
				w.Header().Get("Content-Type") == "text/html; charset=utf-8" {
				t.Fatalf("%q: %q", head, w.Body)
			}
		case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest,
			http.StatusNotFound, http.StatusMethodNotAllowed:
		case http.StatusForbidden, http.StatusTooManyRequests:
		case http.StatusUnsupportedMediaType, http.StatusAccepted, http.StatusConflict:
			if r.Method != http.MethodPost {
				t.Fatalf("%q is answered %d", head, w.Code)
			}
		default:
			t.Fatalf("%q is answered %d", head, w.Code)
		}
	})
}
