package admin

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// One list is made at a time, and behind each comes a rest that is longer than it took; who has
// gone meanwhile does not have one made.
func TestWalksRest(t *testing.T) {
	ws := newWalks()
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/connz", nil)
	const took = 20 * time.Millisecond
	var ended time.Time
	ws.do(w, r, func() {
		time.Sleep(took)
		ended = time.Now()
	})
	if len(ws) != 0 {
		t.Error("the next need not wait")
	}
	if !ws.do(w, r, func() {}) || time.Since(ended) < walkRest*took {
		t.Errorf("the next has waited for %v", time.Since(ended))
	}
}
