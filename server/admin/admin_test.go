package admin

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"mbserver/server/metrics"
)

// Of the operators' connections there are so many at a time: the next waits until one ends. When
// there are many none is kept for another request.
func TestConnectionsAreBounded(t *testing.T) {
	n := &toldNode{}
	n.set("ok", "ok", metrics.Load{Loops: 1})
	s, err := Start(Options{Address: "127.0.0.1:0"}, n, About{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	dial := func() net.Conn {
		c, err := net.DialTimeout("tcp", s.Addr(), patience)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		return c
	}
	ask := func(c net.Conn) {
		t.Helper()
		_, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
	}
	answered := func(c net.Conn) (kept bool) {
		t.Helper()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", resp, err)
		}
		return !resp.Close
	}
	var all []net.Conn
	for range kept {
		c := dial()
		ask(c)
		if !answered(c) {
			t.Fatalf("the %dth is not kept", len(all)+1)
		}
		all = append(all, c)
	}
	c := dial()
	ask(c)
	if answered(c) {
		t.Errorf("more than %d are kept", kept)
	}
	for range connections - kept { // they say nothing
		dial()
	}
	more := dial()
	ask(more)
	_ = more.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := more.Read(make([]byte, 16)); err == nil {
		t.Fatalf("one too many is answered %d bytes", n)
	}
	_ = more.SetReadDeadline(time.Now().Add(patience))
	_ = all[0].Close()
	if answered(more) {
		t.Error("it is kept although there are many")
	}
}

// The probes say what the node says: 200 while it is so, 503 otherwise, and a word.
func TestProbes(t *testing.T) {
	n := &toldNode{}
	routes := (&Server{node: n}).routes(false)
	for _, tt := range []struct {
		ready, live string
		codes       [2]int
	}{
		{"ok", "ok", [2]int{200, 200}},
		{"starting", "ok", [2]int{503, 200}},
		{"draining", "ok", [2]int{503, 200}},
		{"memory", "ok", [2]int{503, 200}},
		{"ok", "stuck", [2]int{200, 503}},
	} {
		n.set(tt.ready, tt.live, metrics.Load{})
		for i, path := range []string{"/readyz", "/livez"} {
			w := httptest.NewRecorder()
			routes.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			if want := []string{tt.ready, tt.live}[i] + "\n"; w.Code != tt.codes[i] ||
				w.Body.String() != want {
				t.Errorf("%s of %+v: %d %q", path, tt, w.Code, w.Body)
			}
		}
	}
}
