package door

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mbserver/server/broker"
	"mbserver/server/config"
)

// onFirst has the accepting loop call f.
func (h *house) onFirst(f func()) { h.gates[0].room.Call(context.Background(), f) }

// refusedFor is how many were refused for a reason.
func (h *house) refusedFor(reason string) (count float64) {
	for _, v := range h.broker.Arrivals.Refused.Read() {
		if v.Label == reason {
			count = v.Value
		}
	}
	return count
}

// told is for how many ms who is refused is told to stay away; 0: it is shown in, -1: it is told
// nothing, as may be over TLS.
func (g *guest) told(transport broker.Transport) (retryMs int) {
	var text, seconds string
	if transport.WebSocket() {
		resp, err := http.ReadResponse(g.in, nil)
		if err != nil {
			return -1
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return 0
		}
		b, _ := io.ReadAll(resp.Body)
		text, seconds = string(b), resp.Header.Get("Retry-After")
		if resp.StatusCode != http.StatusServiceUnavailable {
			g.t.Errorf("refused with %d", resp.StatusCode)
		}
	} else {
		b, err := io.ReadAll(io.LimitReader(g.in, 4))
		if err != nil || len(b) < 4 {
			return -1
		}
		b, _ = io.ReadAll(io.LimitReader(g.in, int64(binary.BigEndian.Uint32(b))))
		_, text, _ = strings.Cut(string(b), "\n")
	}
	var answer struct {
		Error struct {
			Code    string
			Details struct {
				Reason       string
				RetryAfterMs int
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		g.t.Errorf("%v in %q", err, text)
	}
	e := &answer.Error
	ms := e.Details.RetryAfterMs
	if e.Code == "" {
		return 0 // the welcome
	}
	if e.Code != "SERVICE_UNAVAILABLE" || e.Details.Reason != "admission" || ms < 1000 ||
		transport.WebSocket() && seconds != strconv.Itoa((ms+999)/1000) {
		g.t.Errorf("told %s, Retry-After %s", text, seconds)
	}
	return ms
}

// As many as admission.rate come in at once, as many wait for up to a second, and the others are
// told when to come back, each at another time. On every transport.
func TestAdmission(t *testing.T) {
	const rate, crowd = 20, 64
	h := open(t, func(c *config.Config) {
		withTLS(c)
		c.Admission.Rate = rate
	})
	began := time.Now()
	var mu sync.Mutex
	var group sync.WaitGroup
	var retries []int
	var in, silent int
	first := time.Duration(0) // when the first was refused
	for i := range crowd {
		transport := []broker.Transport{
			broker.TransportTCP, broker.TransportWS, broker.TransportTLS, broker.TransportWSS,
		}[i%4]
		g := h.dial(transport)
		group.Go(func() {
			if transport.Secure() {
				g = h.guest(tls.Client(g.Conn, careless))
			}
			if transport.WebSocket() {
				_, _ = io.WriteString(g, upgradeHead)
			}
			retry := g.told(transport)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case retry == 0:
				in++
				return
			case retry > 0:
				retries = append(retries, retry)
			case transport.Secure():
				silent++
			}
			if first == 0 {
				first = time.Since(began)
			}
		})
	}
	group.Wait()
	took := time.Since(began)
	if most := rate + int(took*rate/time.Second) + 1; in > most || in < 2*rate {
		t.Errorf("%d came in within %v, of %d a second", in, took, rate)
	}
	refused := len(retries) + silent
	if in+refused != crowd || len(retries) < 2 {
		t.Fatalf("%d came in, %d were told to come back, %d nothing, of %d",
			in, len(retries), silent, crowd)
	}
	slices.Sort(retries)
	if different := len(slices.Compact(slices.Clone(retries))); 2*different < len(retries) {
		t.Errorf("they are told to come back after %v ms", retries)
	}
	if first >= admissionWait {
		t.Errorf("the first was refused after %v", first)
	}
	waited := h.broker.Admission.Read().Waited
	if n := h.refusedFor(admission); n != float64(refused) || waited == 0 {
		t.Errorf("counted: %v refused, %d waited; %d were refused", n, waited, refused)
	}
	h.eventually("the door is open", func() bool {
		shut := true
		h.onFirst(func() { shut = h.turnstile.shut })
		return !shut
	})
}

// Who is refused is told when there is a place: each another one, behind those who wait; and when
// there are promises for long, any time.
func TestComeBackLater(t *testing.T) {
	const rate = 100
	ts, now := &turnstile{rate: rate}, time.Now()
	for i := range rate * int(retryMost/time.Second) {
		after := ts.later(now)
		want := admissionWait + time.Duration(i+1)*time.Second/rate
		if want > retryMost {
			break
		}
		if after != want {
			t.Fatalf("the %dth is told to come back after %v, want %v", i+1, after, want)
		}
	}
	for range 100 {
		if after := ts.later(now); after < retryMost/2 || after > retryMost {
			t.Fatalf("one of too many is told to come back after %v", after)
		}
	}
	now = now.Add(2 * retryMost)
	if after := ts.later(now); after != admissionWait+time.Second/rate {
		t.Errorf("after a pause one is told to come back after %v", after)
	}
}

// Listeners have their turns: a crowd at one does not keep others' arrivals waiting.
func TestAdmissionIsFair(t *testing.T) {
	const rate = 20
	h := open(t, func(c *config.Config) { c.Admission.Rate = rate })
	for range rate { // the burst
		h.enter(broker.TransportTCP)
	}
	for range rate - 2 {
		h.dial(broker.TransportTCP)
	}
	began := time.Now()
	h.enter(broker.TransportWS)
	if took := time.Since(began); took > admissionWait/2 {
		t.Errorf("a single one waits for %v", took)
	}
}

// A change of the rate takes effect on who waits.
func TestAdmissionIsLive(t *testing.T) {
	h := open(t, func(c *config.Config) { c.Admission.Rate = 1 })
	h.enter(broker.TransportTCP)
	waits := h.dial(broker.TransportTCP)
	h.SetRate(0)
	began := time.Now()
	waits.shown(broker.TransportTCP)
	for range 50 {
		h.enter(broker.TransportTCP)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("without a rate 50 take %v", took)
	}
}

// Over TLS the answer costs a handshake. When others' handshakes need the time, who is refused is
// not given one.
func TestRefusedBeforeTheHandshake(t *testing.T) {
	h := open(t, withTLS)
	h.SetRate(1)
	h.enter(broker.TransportTCP)
	h.steps.mu.Lock()
	running := h.steps.running
	h.steps.running = h.steps.most // nobody else's may run
	h.steps.mu.Unlock()
	one := h.dial(broker.TransportTLS)
	h.dial(broker.TransportTLS) // waits
	one.say(string(clientHello(t)))
	if n, err := io.Copy(io.Discard, one.in); n > 0 || err != nil {
		t.Errorf("%d bytes and %v instead of the end", n, err)
	}
	h.steps.mu.Lock()
	h.steps.running = running
	h.steps.mu.Unlock()
	if n := h.broker.TLS.Read().Done; n != 0 {
		t.Errorf("%d handshakes", n)
	}
}

// While a loop is pressed nobody comes in, but not for ever; then the door is open again.
func TestPressedLoops(t *testing.T) {
	h := open(t, nil)
	h.enter(broker.TransportTCP)
	var pressed atomic.Bool
	pressed.Store(true)
	h.onFirst(func() { h.turnstile.pressed = pressed.Load })
	before := h.broker.Admission.Read() // a slow machine may have pressed them
	began := time.Now()
	h.enter(broker.TransportTCP)
	if took := time.Since(began); took < pauseMost-10*time.Millisecond {
		t.Errorf("one came in after %v", took)
	}
	h.onFirst(func() {}) // the door has looked who else is there, and found nobody
	g := h.dial(broker.TransportTCP)
	h.eventually("the next pause", func() bool {
		return h.broker.Admission.Read().Pauses >= before.Pauses+2
	})
	pressed.Store(false)
	g.shown(broker.TransportTCP)
	if c := h.broker.Admission.Read(); c.Paused-before.Paused < pauseMost-10*time.Millisecond {
		t.Errorf("counted: %+v, before %+v", c, before)
	}
	h.onFirst(func() {
		if h.turnstile.shut {
			t.Error("it is looked again although nobody waits")
		}
	})
}

// A loop that does not take in what it was handed is handed no more, and others take its part.
func TestHandedOver(t *testing.T) {
	h := open(t, nil)
	release := h.hold(1)
	var crowd []*guest
	for range 2*handedMost + 20 {
		crowd = append(crowd, h.dial(broker.TransportTCP))
	}
	h.eventually("it has as much as it may", func() bool { return h.gates[1].busy() })
	h.enter(broker.TransportTCP)
	if n := h.gates[1].handed.count.Load(); n > handedMost {
		t.Errorf("%d were handed to a loop that takes none", n)
	}
	release()
	for _, g := range crowd {
		g.shown(broker.TransportTCP)
	}
}

// What was handed to a gate when the door closes is turned away.
func TestHandedOverAtTheEnd(t *testing.T) {
	h := open(t, nil)
	release := h.hold(1)
	one, two := h.dial(broker.TransportTCP), h.dial(broker.TransportTCP)
	h.eventually("one is on its way", func() bool { return h.gates[1].handed.count.Load() == 1 })
	ended := make(chan struct{})
	go func() {
		h.Close(context.Background())
		close(ended)
	}()
	h.eventually("the door closes", func() bool {
		fd := 0
		h.onFirst(func() { fd = h.listeners[0].fd })
		return fd < 0
	})
	h.gates[1].dropHanded() // as when the loop has ended
	release()
	<-ended
	told := one.frame() + two.frame()
	if !strings.Contains(told, "draining") || !strings.Contains(told, "system.initialize") {
		t.Errorf("told: %q", told)
	}
}
