package admin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

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
func (fakeNode) Live() (bool, string) { return true, "ok" }
func (fakeNode) Load() metrics.Load   { return metrics.Load{Loops: 1} }

// Anonymous implements Desk: nobody is asked who they are.
func (fakeNode) Anonymous() (*permit.Rules, bool) { return nil, true }

// Identify implements Desk: every token is wrong.
func (fakeNode) Identify(string, netip.Addr) (
	string, func() (*permit.Rules, bool), time.Duration, error,
) {
	return "", nil, 0, errors.New("invalid")
}

// FuzzRoutes holds the operators' pages to: whatever the HTTP library takes for a request is
// answered, with nothing but a page to GET and HEAD, a redirect to such a page, or a refusal.
func FuzzRoutes(f *testing.F) {
	for _, line := range []string{
		"GET / ", "GET /metrics ", "HEAD /livez?x=1 ", "POST /readyz ", "GET //metrics/../ ",
		"POST /drain ", "GET /drain ", "POST /kick ", "GET /mute ", "POST /unsubscribe ",
		"OPTIONS * ", "CONNECT a:1 ",
		"GET /troublez?limit=x ", "GET /eventz?id=x ",
		"GET /debug/pprof/ ", "GET http://x/metrics ",
	} {
		f.Add([]byte(line + "HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n"))
	}
	f.Add([]byte("POST /kick HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
		"Content-Length: 52\r\n\r\n" + `{"serviceId":"6f9f1c3e-58b6-4b6c-9d6c-2f1f5d0c7a11"}`))
	s := &Server{
		node: fakeNode{}, operator: fakeNode{}, about: About{Version: "<1>", NodeID: "&"},
		desk: fakeNode{}, names: origin.NewRules(nil, nil), open: true,
		log: slog.New(slog.DiscardHandler),
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
			if !looks {
				t.Fatalf("%q is answered %d %q", head, w.Code, w.Body)
			}
			if bytes.Contains(w.Body.Bytes(), []byte("<1>")) &&
				w.Header().Get("Content-Type") == "text/html; charset=utf-8" {
				t.Fatalf("%q: %q", head, w.Body)
			}
		case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest,
			http.StatusNotFound, http.StatusMethodNotAllowed:
		case http.StatusForbidden, http.StatusUnsupportedMediaType, http.StatusAccepted,
			http.StatusConflict, http.StatusUnauthorized:
			acts := slices.Contains([]string{
				"/drain", "/kick", "/mute", "/unsubscribe",
			}, r.URL.Path)
			if r.Method != http.MethodPost || !acts {
				t.Fatalf("%q is answered %d", head, w.Code)
			}
		default:
			t.Fatalf("%q is answered %d", head, w.Code)
		}
	})
}
