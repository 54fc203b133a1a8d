package server

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"mbserver/server/config"
	"mbserver/server/metrics"
)

func withAdmin(cfg *config.Config) { cfg.Admin.Address = "127.0.0.1:0" }

// adminClient keeps no connection, so that nothing of it outlives the test.
var adminClient = &http.Client{
	Timeout:   livePatience,
	Transport: &http.Transport{DisableKeepAlives: true},
}

func adminCall(t testing.TB, method, url string) (status int, body string, header http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return adminDo(t, req)
}

func adminDo(t testing.TB, req *http.Request) (status int, body string, header http.Header) {
	t.Helper()
	res, err := adminClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

func TestAdminEndpoints(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	base := "http://" + n.Addr("admin")
	for _, row := range []struct {
		method, path string
		status       int
		body         string // "": not looked at
	}{
		{"GET", "/livez", 200, "ok\n"},
		{"GET", "/readyz", 200, "ok\n"},
		{"HEAD", "/readyz", 200, ""},
		{"HEAD", "/metrics", 200, ""},
		{"POST", "/livez", 405, ""},
		{"PUT", "/metrics", 405, ""},
		{"DELETE", "/readyz", 405, ""},
		{"HEAD", "/", 200, ""},
		{"POST", "/", 405, ""},
		{"GET", "/index.html", 404, ""},
		{"GET", "/debug/pprof/", 404, ""},
		{"GET", "/debug/pprof/heap", 404, ""},
		{"GET", "/debug/pprof/profile?seconds=1", 404, ""},
		{"POST", "/debug/pprof/symbol", 404, ""},
	} {
		status, body, _ := adminCall(t, row.method, base+row.path)
		wrongBody := row.body != "" && body != row.body || row.method == "HEAD" && body != ""
		if status != row.status || wrongBody {
			t.Errorf("%s %s: %d %q, want %d %q",
				row.method, row.path, status, body, row.status, row.body)
		}
	}
}

// promValues parses the Prometheus text format; a name that is there twice, or a bad line, fails.
func promValues(t *testing.T, page string) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for _, line := range strings.Split(strings.TrimSuffix(page, "\n"), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("bad line %q", line)
		}
		if _, twice := values[line[:at]]; twice {
			t.Errorf("%s is there twice", line[:at])
		}
		values[line[:at]] = v
	}
	return values
}

func TestAdminMetrics(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	url := "http://" + n.Addr("admin") + "/metrics"
	_, page, header := adminCall(t, "GET", url)
	if !strings.HasPrefix(header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("content type %q", header.Get("Content-Type"))
	}
	before := promValues(t, page)
	for _, m := range metrics.Table {
		if _, there := before[m.Export]; m.Export != "" && !there {
			t.Errorf("%s is missing", m.Export)
		}
	}
	for _, name := range []string{
		`mb_system_core_cpu_ratio{core="0"}`, "go_goroutines", "process_resident_memory_bytes",
		`mb_info{version="test",node="` + n.broker.ID().String() + `"}`,
	} {
		if _, there := before[name]; !there {
			t.Errorf("%s is missing", name)
		}
	}
	c := n.dial()
	c.subscribe("publish", "prom.test")
	c.send("publish:prom.test:1.0.0:00000000-0000-4000-8000-000000000001", "0123456789")
	c.awaitTopic("response:prom.test")
	_, page, _ = adminCall(t, "GET", url)
	after := promValues(t, page)
	for name, want := range map[string]float64{
		"mb_connections": 1, "mb_connections_opened_total": 1,
		"mb_services": 1, "mb_registry_registrations_total": 1, "mb_subscriptions": 1,
		"mb_publishes_total": 1, "mb_requests_total": 1,
		"mb_messages_received_total": 2, "mb_messages_sent_total": 4,
	} {
		if d := after[name] - before[name]; d != want {
			t.Errorf("%s grew by %v, want %v", name, d, want)
		}
	}
}

// drainHeldUp has the node shut down while a request is outstanding. end answers that, and returns
// when the node has ended.
func (n *liveNode) drainHeldUp() (end func()) {
	t := n.t
	c, b := n.dial(), n.dial()
	b.subscribe("request", "drain.test")
	c.send("request:drain.test:1.0.0:00000000-0000-4000-8000-000000000001", "x")
	masked := b.awaitTopic("request:drain.test").requestID()
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), livePatience)
		defer cancel()
		done <- n.Shutdown(ctx)
	}()
	return func() {
		t.Helper()
		b.send("response:drain.test:1.0.0:"+masked, "y")
		c.awaitTopic("response:drain.test:1.0.0:00000000-0000-4000-8000-000000000001")
		_, _ = c.conn.Close(), b.conn.Close()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		case <-time.After(livePatience):
			t.Fatal("Shutdown does not return")
		}
	}
}

// A draining node lives but is not ready, until its last request is answered; then the listener is
// gone too.
func TestAdminWhileDraining(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	base := "http://" + n.Addr("admin")
	end := n.drainHeldUp()
	eventually(t, "readiness fails", func() bool {
		status, body, _ := adminCall(t, "GET", base+"/readyz")
		return status == 503 && body == "draining\n"
	})
	if status, _, _ := adminCall(t, "GET", base+"/livez"); status != 200 {
		t.Errorf("a draining node answers /livez with %d", status)
	}
	end()
	if _, err := adminClient.Get(base + "/livez"); err == nil {
		t.Error("a stopped node answers")
	}
}

// On an address that others reach, names decide nothing: operators have their own.
func TestAdminByAnyName(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) { cfg.Admin.Address = "0.0.0.0:0" })
	port := n.Addr("admin")[strings.LastIndexByte(n.Addr("admin"), ':')+1:]
	req, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+port+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "node1.example"
	if status, body, _ := adminDo(t, req); status != http.StatusOK {
		t.Errorf("%d %q", status, body)
	}
}

func TestAdminOff(t *testing.T) {
	n := startLiveNode(t, nil)
	if a := n.Addr("admin"); a != "" {
		t.Errorf("admin is off but has the address %s", a)
	}
}

// An address that cannot be bound stops the start, and nothing keeps running.
func TestAdminAddressTaken(t *testing.T) {
	first := startLiveNode(t, withAdmin)
	taken := first.Addr("admin")
	second := newLiveNode(t, func(cfg *config.Config) { cfg.Admin.Address = taken })
	if err := second.Start(); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("Start: %v, want an error that names %s", err, taken)
	}
}
