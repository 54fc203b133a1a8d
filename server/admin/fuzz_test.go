package admin

import (
	"bufio"
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"mbserver/server/metrics"
)

type fakeNode struct{}

func (fakeNode) Sample(time.Time) *metrics.Sample  { return &metrics.Sample{} }
func (fakeNode) Ready() (bool, string)             { return false, "starting" }
func (fakeNode) Drain(int) error                   { return nil }
func (fakeNode) Undrain() error                    { return errors.New("no drain") }
func (fakeNode) Live() (bool, string)              { return true, "ok" }
func (fakeNode) Cluster(time.Time) metrics.Cluster { return metrics.Cluster{} }

func (fakeNode) Load() metrics.Load { return metrics.Load{Loops: 1} }

// FuzzRoutes holds the operators' pages to: whatever the HTTP library takes for a request is
// answered, with nothing but a page to GET and HEAD, a redirect to such a page, or a refusal.
func FuzzRoutes(f *testing.F) {
	for _, line := range []string{
		"GET / ", "GET /metrics ", "HEAD /livez?x=1 ", "POST /readyz ", "GET //metrics/../ ",
		"POST /drain ", "GET /drain ", "OPTIONS * ", "CONNECT a:1 ",
		"GET /debug/pprof/ ", "GET http://x/metrics ",
	} {
		f.Add([]byte(line + "HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n"))
	}
	s := &Server{
		node: fakeNode{}, operator: fakeNode{}, about: About{Version: "<1>", NodeID: "&"},
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
			http.StatusConflict:
			if r.Method != http.MethodPost || r.URL.Path != "/drain" {
				t.Fatalf("%q is answered %d", head, w.Code)
			}
		default:
			t.Fatalf("%q is answered %d", head, w.Code)
		}
	})
}
