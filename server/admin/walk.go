package admin

import (
	"net/http"
	"time"
)

// walks bounds what lists cost: one is made at a time, and after each comes a rest that is longer.
// So whoever asks as often as he can gets a quarter of a processor. Any goroutine.
type walks chan struct{}

const (
	walkRest    = 3 // times what the last walk took
	walkRestMax = time.Second
	walkWait    = 3 * time.Second // for one's turn
	walkTime    = 5 * time.Second // for what one walk may take
)

func newWalks() walks {
	w := make(walks, 1)
	w <- struct{}{}
	return w
}

// do calls f when it is its turn. Otherwise it answers that, and is false.
func (ws walks) do(w http.ResponseWriter, r *http.Request, f func()) bool {
	timer := time.NewTimer(walkWait)
	defer timer.Stop()
	select {
	case <-ws:
	case <-r.Context().Done():
		return false
	case <-timer.C:
		answerBusy(w)
		return false
	}
	began := time.Now()
	defer func() {
		time.AfterFunc(min(walkRest*time.Since(began), walkRestMax), func() { ws <- struct{}{} })
	}()
	f()
	return true
}

// answerBusy answers who has to come again.
func answerBusy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	answerError(w, http.StatusServiceUnavailable, unavailable, "too much is asked at the moment",
		"reason", "busy")
}
