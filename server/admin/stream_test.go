package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"mbserver/codec"
	"mbserver/server/metrics"
	"mbserver/server/permit"
	"mbserver/server/watch"
)

// openDesk asks nobody.
type openDesk struct{}

func (openDesk) Anonymous() (*permit.Rules, bool) { return nil, true }
func (openDesk) Identify(string, netip.Addr) (
	string, func() (*permit.Rules, bool), time.Duration, error,
) {
	panic("nobody gives credentials")
}

// shownSource hands what looks at it to a test.
type shownSource struct {
	watches chan *watch.Watch
	stopped chan struct{}
	sees    chan func(string, []byte)
}

func newShownSource() *shownSource {
	return &shownSource{
		make(chan *watch.Watch, 1), make(chan struct{}, 1), make(chan func(string, []byte), 1),
	}
}

func (*shownSource) Glance(now time.Time) *metrics.Sample { return &metrics.Sample{At: now} }

func (*shownSource) Works() <-chan struct{} { return nil }

func (s *shownSource) Watch(o watch.Options) (*watch.Watch, func()) {
	w := watch.New(o, 1)
	s.watches <- w
	return w, func() { s.stopped <- struct{}{} }
}

func (s *shownSource) PastLog(slog.Level, func(string, []byte)) {}

func (s *shownSource) ObserveLog(_ slog.Level, see func(string, []byte)) func() {
	s.sees <- see
	return func() { s.stopped <- struct{}{} }
}

// narrow is a listener whose connections hold few bytes that nobody has read.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		_ = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

// startStreams starts a server whose streams look at the clock each tick, and wait for who does not
// read for as long as write says.
func startStreams(t *testing.T, source Source, tick, write time.Duration) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &toldNode{}
	n.set("ok", "ok", metrics.Load{Loops: 1})
	s, err := Start(Options{
		Listener: narrow{l}, Desk: openDesk{}, Source: source, Open: true, tick: tick, write: write,
	}, n, About{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// askStream sends a request for a stream.
func askStream(t *testing.T, s *Server, path string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.Addr(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	_, err = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// flood offers messages that fill what a client does not read, and returns how many; that never
// waits.
func flood(w *watch.Watch) (count int) {
	h := &codec.Header{Action: codec.Publish, Topic: []byte("a"), Version: []byte("1.0.0")}
	payload := []byte(strings.Repeat("x", watch.BytesMost))
	for ; count < 20000; count++ {
		w.Pass(0, math.MaxInt32)
		w.Offer(watch.Message{}, h, payload)
	}
	return count
}

// Who reads slowly makes nobody wait: what it has missed is counted, and told when it reads on.
func TestSlowStream(t *testing.T) {
	source := newShownSource()
	s := startStreams(t, source, 10*time.Millisecond, patience)
	c := askStream(t, s, "/stream/messages?topic=a&bytes=4096")
	count := flood(<-source.watches)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	shown, name := 0, ""
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if text, is := strings.CutPrefix(lines.Text(), "event: "); is {
			if name = text; name == "message" {
				shown++
			}
		}
		data, is := strings.CutPrefix(lines.Text(), "data: ")
		if !is || name != "count" {
			continue
		}
		var told watchCount
		if err := json.Unmarshal([]byte(data), &told); err != nil {
			t.Fatal(err)
		}
		if told.Shown+told.Missed == uint64(count) {
			if told.Shown != uint64(shown) || told.Missed == 0 || told.Passed != uint64(count) {
				t.Errorf("%d of %d were shown, and told is %+v", shown, count, told)
			}
			return
		}
	}
	t.Fatal("it was not told")
}

// Who reads nothing is cut, and does not keep the end of the node waiting.
func TestStalledStream(t *testing.T) {
	source := newShownSource()
	s := startStreams(t, source, 10*time.Millisecond, 50*time.Millisecond)
	askStream(t, s, "/stream/messages?topic=a&bytes=4096")
	flood(<-source.watches)
	select {
	case <-source.stopped:
	case <-time.After(patience):
		t.Fatal("it is not cut")
	}
	s = startStreams(t, source, 10*time.Millisecond, patience)
	askStream(t, s, "/stream/messages?topic=a&bytes=4096")
	flood(<-source.watches)
	s.Close(context.Background())
	select {
	case <-source.stopped:
	default:
		t.Error("the end of the server has left it behind")
	}
}

// A stream goes on when the time of other requests is over, a comment shows that it lives, and too
// many lines of the log are counted.
func TestStreamGoesOn(t *testing.T) {
	source := newShownSource()
	s := startStreams(t, source, time.Millisecond, patience)
	const timeout = 200 * time.Millisecond
	short := httptest.NewUnstartedServer(s.http.Handler)
	short.Config.ReadTimeout, short.Config.WriteTimeout = timeout, timeout
	short.Start()
	defer short.Close()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	began := time.Now()
	res, err := client.Get(short.URL + "/stream/logs")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	await := func(what string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == what {
				return
			}
		}
		t.Fatalf("%q never came: %v", what, lines.Err())
	}
	for time.Since(began) < 2*timeout {
		await(":")
	}
	see := <-source.sees
	for range logRate {
		see("m", []byte(`{"message":"a line"}`))
		await(`data: {"message":"a line"}`)
	}
	const more = 3 * logRate
	for range more {
		see("m", []byte(`{"message":"one more"}`))
	}
	// The last line may come before its count, or after it.
	shown, missed := 0, 0
	for shown+missed < more && lines.Scan() {
		if lines.Text() == `data: {"message":"one more"}` {
			shown++
		}
		if rest, is := strings.CutPrefix(lines.Text(), `data: {"missed":`); is {
			missed, _ = strconv.Atoi(strings.TrimSuffix(rest, "}"))
		}
	}
	if missed == 0 || shown+missed != more {
		t.Fatalf("%d lines and %d missed, then %v", shown, missed, lines.Err())
	}
}

// The history keeps what adds up, in order, and no more than there is room for.
func TestHistory(t *testing.T) {
	h := &history{source: &risingSource{}}
	at := time.UnixMilli(1_700_000_000_000)
	h.latest.Store(h.source.Glance(at))
	const seconds = 2*historyMost + 7
	for range seconds {
		if at = at.Add(time.Second); !h.take(at) {
			t.Fatal("nothing has happened, it says")
		}
	}
	list := h.since(0)
	if len(list) != historyMost {
		t.Fatalf("%d moments", len(list))
	}
	for i, m := range list {
		want := at.Add(time.Duration(i-len(list)+1) * time.Second)
		if m[momentAt] != float64(want.UnixMilli()) || m[momentSeconds] != 1 ||
			m[momentCounts] != 3 {
			t.Fatalf("%d: %v", i, m)
		}
	}
	if list = h.since(float64(at.Add(-2 * time.Second).UnixMilli())); len(list) != 2 {
		t.Errorf("%d moments of the last two seconds", len(list))
	}
	before := list[len(list)-1]
	h.rested(at.Add(time.Minute))
	if list = h.since(before[momentAt]); len(list) != 1 || list[0][momentSeconds] != 60 ||
		list[0][momentCounts] != 0 {
		t.Errorf("after a minute's rest: %v", list)
	}
	at = at.Add(time.Minute + time.Second)
	if h.take(at); h.since(0)[historyMost-1][momentCounts] != 3 {
		t.Error("what came after the rest is not counted")
	}
	if s := h.recent(at.Add(time.Hour)); s.At != at.Add(time.Hour-time.Second) ||
		s.Totals != h.latest.Load().Totals {
		t.Errorf("after an hour's rest it begins at %v", s.At)
	}
	h.source = newShownSource()
	h.latest.Store(h.source.Glance(at))
	if h.take(at.Add(time.Second)) {
		t.Error("something has happened, it says")
	}
}

// risingSource counts three messages more each time.
type risingSource struct {
	shownSource
	in uint64
}

func (s *risingSource) Glance(now time.Time) *metrics.Sample {
	s.in += 3
	sample := &metrics.Sample{At: now, Loops: 1}
	sample.Totals[metrics.Messages] = s.in
	return sample
}

func TestQuantile(t *testing.T) {
	counts := make([]uint64, len(metrics.Bounds)+1)
	if q := quantile(counts, 0.5); q == q {
		t.Errorf("of nothing it is %v", q)
	}
	counts[1] = 100 // 10 to 25 µs
	for q, want := range map[float64]float64{0.5: 17.5e-6, 0.99: 24.85e-6, 1: 25e-6} {
		if got := quantile(counts, q); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v: %v, want %v", q, got, want)
		}
	}
	counts[len(counts)-1] = 200
	if got := quantile(counts, 0.9); got != 10 {
		t.Errorf("beyond the last bound: %v", got)
	}
}
