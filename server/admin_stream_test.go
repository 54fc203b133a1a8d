package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mbserver/server/config"
)

// streamed is one event of a stream.
type streamed struct {
	name, id string
	data     map[string]any
}

// eventStream is what a client reads of a stream. One goroutine.
type eventStream struct {
	t     testing.TB
	lines *bufio.Reader
	leave context.CancelFunc
}

// stream opens a stream, which must be answered 200; the test leaves it at the end.
func (n *liveNode) stream(path, token string) *eventStream {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), livePatience)
	n.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Addr("admin")+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := adminClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = res.Body.Close() })
	h := res.Header
	if res.StatusCode != 200 || h.Get("Content-Type") != "text/event-stream; charset=utf-8" ||
		h.Get("Cache-Control") != "no-store" {
		n.t.Fatalf("%s: %d %v", path, res.StatusCode, h)
	}
	return &eventStream{n.t, bufio.NewReader(res.Body), cancel}
}

// next reads an event; ok is false at the end of the stream.
func (s *eventStream) next() (e streamed, ok bool) {
	s.t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return e, false
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.data); err != nil {
				s.t.Fatalf("%v in %s", err, value)
			}
		case "":
			if e.name != "" {
				return e, true
			}
		}
	}
}

// until reads events up to the first of a name that fits.
func (s *eventStream) until(name string, fits func(map[string]any) bool) streamed {
	s.t.Helper()
	for {
		e, ok := s.next()
		if !ok {
			s.t.Fatalf("the stream has ended before a %s", name)
		}
		if e.name == name && (fits == nil || fits(e.data)) {
			return e
		}
	}
}

// ends reads to the end, which must be told for a reason.
func (s *eventStream) ends(reason string) {
	s.t.Helper()
	if e := s.until("end", nil); e.data["reason"] != reason {
		s.t.Errorf("it ended because of %v, want %s", e.data["reason"], reason)
	}
	if e, ok := s.next(); ok {
		s.t.Errorf("after its end: %v", e)
	}
}

func number(v any) float64 {
	f, _ := v.(float64)
	return f
}

// What streams and the history say adds up to what was sent.
func TestStreamMetrics(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	s := n.stream("/stream/metrics?every=1s", "")
	if e := s.until("state", nil); e.data["ready"] != true ||
		e.data["nodeId"] != n.broker.ID().String() {
		t.Errorf("%v", e)
	}
	first := s.until("metrics", nil).data
	a, b, c := n.dial(), n.dial(), n.dial()
	a.subscribe("publish", "numbers.#")
	b.subscribe("publish", "numbers.#")
	const publishes = 7
	for range publishes {
		c.send("publish:numbers.one:1.0.0", "{}")
	}
	c.send("publish:nobody:1.0.0", "{}")
	c.settle()
	a.settle()
	b.settle()
	want := n.broker.Sample(time.Now())
	added := map[string]float64{}
	last := s.until("metrics", func(data map[string]any) bool {
		for name := range data["totals"].(map[string]any) {
			added[name] += number(data[name])
		}
		return number(data["totals"].(map[string]any)["in"]) ==
			number(first["totals"].(map[string]any)["in"])+2*1+publishes+1+3*2
	})
	totals := last.data["totals"].(map[string]any)
	for name, total := range totals {
		got := number(first["totals"].(map[string]any)[name]) + added[name]
		if got != number(total) {
			t.Errorf("%s: what was added comes to %v of %v", name, got, total)
		}
	}
	for name, want := range map[string]float64{
		"publishes": publishes + 1, "unroutedPublishes": 1, "requests": 2 + 3*2, "lost": 0,
		"errors": 1,
	} {
		if added[name] != want {
			t.Errorf("%s: %v, want %v", name, added[name], want)
		}
	}
	limits := last.data["limits"].(map[string]any)
	if number(last.data["connections"]) != 3 || number(last.data["subscriptions"]) != 2 ||
		number(limits["memoryBytes"]) != float64(want.Limits.Memory) ||
		number(last.data["memoryBytes"]) < 3<<10 || number(last.data["turnP99"]) <= 0 ||
		number(last.data["process"].(map[string]any)["memoryBytes"]) < 1<<20 {
		t.Errorf("%v", last.data)
	}
	if last.id != fmt.Sprint(int64(number(last.data["at"]))) {
		t.Errorf("its ID is %s", last.id)
	}
	url := "http://" + n.Addr("admin") + "/history"
	eventually(t, "all of it in the history", func() bool {
		_, body, _ := adminCall(t, "GET", url)
		var h struct{ Series map[string][]float64 }
		if err := json.Unmarshal([]byte(body), &h); err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i, v := range h.Series["publishes"] {
			if sum += v; h.Series["seconds"][i] <= 0 {
				t.Errorf("a sample spans %v s", h.Series["seconds"][i])
			}
		}
		return sum == publishes+1
	})
	_, body, _ := adminCall(t, "GET", url+fmt.Sprintf("?since=%d", time.Now().UnixMilli()))
	if !strings.Contains(body, `"publishes":[]`) {
		t.Errorf("after now: %s", body)
	}
}

// A message is shown as it passes; who watches is no subscriber.
func TestStreamMessages(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		cfg.Admin.Operator = true
	})
	s := n.stream("/stream/messages?topic=watched.%23&bytes=16&rate=100", "")
	sub, p := n.dial(), n.dial()
	sub.subscribe("publish", "watched.one")
	sub.subscribe("request", "watched.ask")
	const id = "00000000-0000-4000-8000-00000000000"
	p.send("publish:other:1.0.0", "{}")
	if d := p.call("system.service.list", "")["services"].([]any); len(d) != 2 {
		t.Errorf("%d services", len(d))
	}
	if d := p.call("system.topic.list", "")["topics"].([]any); len(d) != 2 {
		t.Errorf("topics %v", d)
	}
	for i, payload := range []string{
		"{\"a\":\n [1,2]}", "plain", "\xff\x00", strings.Repeat("x", 17), "fifteen bytes..ü.", "",
	} {
		p.send(fmt.Sprintf("publish:Watched.one:1.0.0:%s%d", id, i), payload)
		ack := p.await(fmt.Sprintf("ack %d", i), func(m wireMessage) bool {
			return m.requestID() == fmt.Sprintf("%s%d", id, i)
		}).object(t)
		if number(ack["subscribers"]) != 1 {
			t.Errorf("acknowledged as %v", ack)
		}
	}
	p.send("publish:watched.two:1.0.0:"+id+"8", "{}")
	if e := p.await("no route", func(m wireMessage) bool {
		return m.requestID() == id+"8"
	}); !strings.Contains(string(e.payload), "NO_ROUTE_FOUND") {
		t.Errorf("nobody is subscribed, and it is answered %s", e.payload)
	}
	p.send("request:watched.ask:1.0.0:"+id+"9:"+id+"7:5000", "ask")
	asked := sub.awaitTopic("request:watched.ask")
	sub.send("response:lies:1.0.0:"+asked.requestID(), `"answer"`)
	p.await("answer", func(m wireMessage) bool { return m.requestID() == id+"9" })

	for i, want := range []map[string]any{
		{"payload": map[string]any{"a": []any{1.0, 2.0}}, "encoding": "json", "bytes": 13.0},
		{"payload": "plain", "encoding": "text"},
		{"payload": "/wA=", "encoding": "base64"},
		{"payload": strings.Repeat("x", 16), "encoding": "text", "cut": true, "bytes": 17.0},
		{"payload": "fifteen bytes..", "encoding": "text", "cut": true, "bytes": 18.0},
		{"payload": "", "encoding": "text", "bytes": 0.0, "topic": "Watched.one",
			"action": "publish", "subscribers": 1.0, "from": p.id, "version": "1.0.0",
			"requestId": id + "5"},
		{"topic": "watched.two", "subscribers": 0.0},
		{"action": "request", "topic": "watched.ask", "payload": "ask", "from": p.id,
			"requestId": id + "9", "parentRequestId": id + "7", "timeout": 5000.0},
		{"action": "response", "topic": "watched.ask", "payload": "answer", "from": sub.id,
			"encoding": "json", "requestId": id + "9"},
	} {
		got := s.until("message", nil).data
		for k, v := range want {
			if fmt.Sprint(got[k]) != fmt.Sprint(v) {
				t.Errorf("%d: %s is %v, want %v in %v", i, k, got[k], v, got)
			}
		}
		if at := time.UnixMilli(int64(number(got["at"]))); time.Since(at).Abs() > livePatience {
			t.Errorf("it came at %v", at)
		}
	}
	if e := s.until("count", nil); number(e.data["passed"]) != 9 || number(e.data["shown"]) != 9 ||
		number(e.data["missed"]) != 0 {
		t.Errorf("%v", e.data)
	}
	if !strings.Contains(n.out.String(), "messages are watched: watched.#") {
		t.Error("the log does not say who watches")
	}
	if strings.Contains(n.out.String(), `"level":"ERROR"`) {
		t.Errorf("faults: %s", n.out)
	}
	s.leave()
	eventually(t, "nobody watches", func() bool { return n.broker.Sample(time.Now()).Watches == 0 })
}

// Of many messages some are shown, and it is told how many there were.
func TestStreamMessagesAreCapped(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	s := n.stream("/stream/messages?topic=many&rate=5", "")
	p := n.dial()
	const many = 2000
	for range many {
		p.send("publish:many:1.0.0", "{}")
	}
	shown := 0
	for e, ok := s.next(); ok; e, ok = s.next() {
		if e.name == "message" {
			if shown++; e.data["hidden"] != true || e.data["payload"] != nil {
				t.Fatalf("a payload is shown to everybody: %v", e.data)
			}
		}
		if e.name == "count" && number(e.data["passed"]) == many {
			if number(e.data["shown"]) != float64(shown) || shown < 5 || shown > 200 {
				t.Errorf("%d were shown, %v", shown, e.data)
			}
			return
		}
	}
	t.Fatal("it was not told")
}

// streamRoles are those of TestStreamPermissions.
func streamRoles(cfg *config.Config) {
	withAdmin(cfg)
	operators(cfg)
	see := config.Lists{Allow: []string{"open.#"}}
	cfg.Permissions.Roles["viewer"] = config.Role{System: []string{"topic.list", "metrics"}}
	cfg.Permissions.Roles["operator"] = config.Role{
		System: []string{"topic.list", "message"}, Subscribe: see,
	}
	cfg.Permissions.Roles["nobody"] = config.Role{
		System: []string{"topic.list", "log"}, Request: see,
	}
	cfg.Permissions.Anonymous = []string{"talker"}
	cfg.Permissions.Roles["talker"] = config.Role{
		Publish: config.Lists{Allow: []string{"#"}},
	}
	cfg.Auth.Required = config.RequiredFalse
}

// Who may use a topic sees that messages pass on it; what they carry, who may read them. A reload
// counts at once.
func TestStreamPermissions(t *testing.T) {
	var cfg config.Config
	n := startLiveNode(t, func(c *config.Config) { streamRoles(c); cfg = *c })
	get := func(path, token string) int {
		url := "http://" + n.Addr("admin") + path
		if token != "" {
			url += "&access_token=" + token
		}
		status, _, _ := adminCall(t, "GET", url)
		return status
	}
	for _, row := range []struct {
		path, token string
		status      int
	}{
		{"/stream/messages?topic=a", "", 403}, {"/stream/metrics?", "operator", 403},
		{"/stream/logs?", "viewer", 403}, {"/history?", "nobody", 403},
		{"/history?", "viewer", 200},
		{"/stream/messages?topic=a", "wrong", 401}, {"/stream/messages?topic=", "viewer", 400},
		{"/stream/messages?topic=system.log", "viewer", 400},
		{"/stream/messages?topic=a&rate=0", "viewer", 400},
		{"/stream/messages?topic=a&rate=101", "viewer", 400},
		{"/stream/messages?topic=a&bytes=4097", "viewer", 400},
		{"/stream/messages?topic=a&action=publish,x", "viewer", 400},
		{"/stream/metrics?every=1500ms", "viewer", 400},
		{"/stream/metrics?every=2m", "viewer", 400}, {"/history?since=x", "viewer", 400},
		{"/stream/logs?level=all", "nobody", 400},
	} {
		if got := get(row.path, row.token); got != row.status {
			t.Errorf("%s as %q: %d, want %d", row.path, row.token, got, row.status)
		}
	}
	all := "/stream/messages?topic=%23&rate=100"
	none, reader := n.stream(all, "viewer"), n.stream(all, "operator")
	asker := n.stream(all, "nobody")
	p := n.dial()
	p.send("publish:secret.one:1.0.0", "{}")
	p.send("publish:open.one:1.0.0", "{}")
	p.settle()
	if m := reader.until("message", nil).data; m["topic"] != "open.one" || m["payload"] == nil ||
		m["from"] != nil {
		t.Errorf("a reader sees %v", m)
	}
	if m := asker.until("message", nil).data; m["topic"] != "open.one" || m["hidden"] != true ||
		m["payload"] != nil {
		t.Errorf("a requester sees %v", m)
	}
	for _, s := range []*eventStream{reader, asker} {
		if e := s.until("count", nil); number(e.data["passed"]) != 1 {
			t.Errorf("it is told of others: %v", e.data)
		}
	}
	// The reader loses the topic, the asker its token, who sees nothing the right to look.
	cfg.Auth.Tokens = slices.DeleteFunc(slices.Clone(cfg.Auth.Tokens), func(x config.Token) bool {
		return x.Identity == "nobody"
	})
	roles := config.Roles{}
	for name, role := range cfg.Permissions.Roles {
		roles[name] = role
	}
	roles["viewer"] = config.Role{System: []string{"metrics"}}
	roles["operator"] = config.Role{
		System: []string{"topic.list", "message"}, Subscribe: config.Lists{Allow: []string{"x"}},
	}
	cfg.Permissions.Roles = roles
	load := func() (config.Config, config.Origins, error) { return cfg, nil, nil }
	if err := n.Reload(load); err != nil {
		t.Fatal(err)
	}
	asker.ends("unauthorized")
	none.ends("forbidden")
	p.send("publish:open.one:1.0.0", "{}")
	p.send("publish:x:1.0.0", "{}")
	if m := reader.until("message", nil).data; m["topic"] != "x" {
		t.Errorf("after the reload a reader sees %v", m)
	}
}

// There are so many streams at a time, fewer of messages; a place comes back when its client
// leaves. Pages of other sites get none.
func TestStreamsAreBounded(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	base := "http://" + n.Addr("admin")
	var open []*eventStream
	const watches, most = 4, 16
	for range watches {
		open = append(open, n.stream("/stream/messages?topic=a", ""))
	}
	refused := func(path string) {
		t.Helper()
		status, body, header := adminCall(t, "GET", base+path)
		if status != 503 || !strings.Contains(body, `"reason":"busy"`) ||
			header.Get("Retry-After") == "" {
			t.Errorf("one more: %d %s", status, body)
		}
	}
	refused("/stream/messages?topic=a")
	for len(open) < most {
		open = append(open, n.stream("/stream/metrics", ""))
	}
	refused("/stream/metrics")
	refused("/stream/logs")
	open[0].leave()
	eventually(t, "a place", func() bool {
		req, _ := http.NewRequest("GET", base+"/stream/messages?topic=a", nil)
		res, err := adminClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode == 200
	})
	if status, body, _ := adminCall(t, "HEAD", base+"/stream/logs"); status != 200 || body != "" {
		t.Errorf("HEAD: %d %s", status, body)
	}
	for name, value := range map[string]string{
		"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site",
	} {
		req, _ := http.NewRequest("GET", base+"/stream/logs", nil)
		req.Header.Set(name, value)
		if status, body, _ := adminDo(t, req); status != 403 || !strings.Contains(body, "origin") {
			t.Errorf("%s %s: %d %s", name, value, status, body)
		}
	}
}

// Log lines are shown by level and module.
func TestStreamLogs(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	all := n.stream("/stream/logs?level=debug", "")
	some := n.stream("/stream/logs?level=warn&module=door,auth", "")
	n.log.Debug("one", "module", "door", "k", 1)
	n.log.Warn("two", "module", "router")
	n.log.Info("three", "module", "auth")
	n.log.Error("four\nlines", "module", "auth")
	for _, want := range []string{"one", "two", "three", "four\nlines"} {
		got := all.until("log", func(data map[string]any) bool { return data["message"] == want })
		if want == "one" && (got.data["level"] != "debug" || got.data["module"] != "door" ||
			got.data["k"] != 1.0) {
			t.Errorf("%v", got.data)
		}
	}
	if got := some.until("log", nil).data; got["message"] != "four\nlines" {
		t.Errorf("%v", got)
	}

	// Who comes later sees what was written before, each line once.
	late := n.stream("/stream/logs?past=true&module=router,auth", "")
	n.log.Info("five", "module", "auth")
	for _, want := range []string{"two", "three", "four\nlines", "five"} {
		if got := late.until("log", nil).data; got["message"] != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
}

// A drain is told, and the end of the node ends streams, told too.
func TestStreamsEnd(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		cfg.Shutdown.Delay = 0
	})
	streams := []*eventStream{
		n.stream("/stream/metrics", ""), n.stream("/stream/messages?topic=a", ""),
		n.stream("/stream/logs", ""),
	}
	if err := n.Drain(0); err != nil {
		t.Fatal(err)
	}
	for _, s := range streams {
		s.until("state", func(data map[string]any) bool {
			return data["ready"] == false && data["state"] == "draining"
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), livePatience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.Shutdown(ctx) }()
	for _, s := range streams {
		s.ends("shutdown")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
