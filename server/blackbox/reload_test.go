package blackbox

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// reloading is a node with a configuration file of a test's.
type reloading struct {
	*node
	path    string
	reloads int
}

func startReloading(t *testing.T, text string, settings ...string) *reloading {
	t.Helper()
	r := &reloading{path: filepath.Join(t.TempDir(), "mb.yaml")}
	r.put(t, text)
	r.node = launchNode(t, launch{config: r.path, settings: settings})
	return r
}

func (r *reloading) put(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(r.path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(r.path+".new", r.path); err != nil {
		t.Fatal(err)
	}
}

// change has the node take over another text.
func (r *reloading) change(t *testing.T, text string) {
	t.Helper()
	r.put(t, text)
	r.reloads++
	eventually(t, "a reload", func() bool {
		return strings.Count(r.out.String(), `"configuration reloaded"`) == r.reloads
	})
	if strings.Contains(r.out.String(), "take effect at the next start") {
		t.Error("a key that has not changed is said to take effect later")
	}
}

// inFile is a setting of the command line as a line of a file.
func inFile(setting string) string { return strings.Replace(setting, "=", ": ", 1) + "\n" }

// Authentication that is turned on holds for who is connected, and one that is turned off for who
// was still to say who it is.
func TestS10_TurnedOnAndOff(t *testing.T) {
	t.Parallel()
	r := startReloading(t, "", "auth.failure.lockout.threshold=0")
	var before []*client
	for _, transport := range transports {
		c := r.dial(t, transport)
		c.subscribe("both", "a.#")
		before = append(before, c)
	}
	r.change(t, inFile(knows("anna")))
	for _, c := range before {
		wantReason(t, c.gone().fault(t), "UNAUTHORIZED", "required")
	}
	anna, unknown := r.dial(t, overTCP), r.dial(t, overWS)
	anna.identify("anna")
	anna.subscribe("publish", "a.b")
	wantReason(t, unknown.refused("system.topic.list", "", "UNAUTHORIZED"),
		"UNAUTHORIZED", "required")

	r.change(t, inFile(knows("anna"))+"auth.required: false\n")
	unknown.send("publish:a.b:1.0.0:"+idA, "free")
	unknown.expectPayload("response:a.b:1.0.0:"+idA, `{"status":"success","subscribers":1}`)
	if m := anna.fresh(); string(m.Payload) != "free" {
		t.Errorf("got %v", m)
	}
	if anna.service(unknown.id) == nil {
		t.Error("who is anonymous is in no list")
	}
	unknown.identify("anna")

	r.change(t, "auth.required: auto\n")
	wantReason(t, anna.gone().fault(t), "UNAUTHORIZED", "revoked")
	r.dial(t, overWSS).ok("system.topic.list", "")
}

// Who loses the word for the log gets no line more, whichever way it asked for them.
func TestS10_LogIsRevoked(t *testing.T) {
	t.Parallel()
	role := func(words string) string {
		return inFile(knows("anna", "bob")) + "permissions: {roles: {anna: {system: [" + words +
			"]}, bob: {}}}\n"
	}
	r := startReloading(t, role("log"), "loops=2")
	a, follows := r.dial(t, overTCP), r.dial(t, overWS)
	a.identify("anna")
	follows.identify("anna")
	a.ok("system.log.subscribe", `{"levels":["info","warn","error"]}`)
	follows.subscribe("publish", "system.log")
	r.change(t, role("metrics"))
	for _, c := range []*client{a, follows} {
		m := c.await("word", func(m message) bool { return m.Topic == "system.topic.revoked" })
		if o := m.object(t); o["topic"] != "system.log" {
			t.Errorf("%v", o)
		}
		c.backlog = nil
		c.refused("system.log.subscribe", `{}`, "FORBIDDEN")
	}
	r.dial(t, overTCP).identify("bob") // lines of the log
	for _, c := range []*client{a, follows} {
		c.settle()
		for _, m := range c.backlog {
			if m.Topic == "system.log" {
				t.Errorf("got %v", m)
			}
		}
	}
}

// Requests that wait are answered when their requester may not make them any more, and when nobody
// is left who may answer them.
func TestS10_QueuedIsRevoked(t *testing.T) {
	t.Parallel()
	roles := func(ask, serve string) string {
		return inFile(knows("anna", "bob")) + "permissions: {roles: {anna: {request: {allow: [" +
			ask + "]}}, bob: {respond: {allow: [" + serve + "]}}}}\n"
	}
	r := startReloading(t, roles("x, y", "x, y"), "loops=2", "max.outstanding.perService=1")
	a, b := r.dial(t, overTCP), r.dial(t, overWS)
	a.identify("anna")
	b.identify("bob")
	b.subscribe("request", "x")
	b.subscribe("request", "y")
	a.send("request:x:1.0.0:"+idA, "first")
	first := b.fresh()
	a.send("request:x:1.0.0:"+idB, "waits")
	const idC = "6a1b2c3d-0000-4000-8000-00000000000c"
	a.send("request:y:1.0.0:"+idC, "waits")
	eventually(t, "two wait", func() bool { return r.counter(t, "mb_requests_queued") == 2 })
	r.change(t, roles("y", "x"))
	for id, code := range map[string]string{idB: "FORBIDDEN", idC: "NO_ROUTE_FOUND"} {
		m := a.await("an answer", func(m message) bool { return m.ID == id })
		if e := m.fault(t); e.Code != code {
			t.Errorf("%v, want %s", m, code)
		}
	}
	b.send("response:x:1.0.0:"+first.ID, "an answer")
	a.expectPayload("response:x:1.0.0:"+idA, "an answer")
}

// The certificate of a client is who it is, over both transports that have one, from the reload on
// that names an authority, in each of the forms; with the roles that the identity has.
func TestS10_CertificateIdentity(t *testing.T) {
	t.Parallel()
	pair, err := tls.LoadX509KeyPair(ours.certificate, ours.key)
	if err != nil {
		t.Fatal(err)
	}
	with := ours.trust()
	with.Certificates = []tls.Certificate{pair}
	r := startReloading(t, "permissions: {roles: {r: {publish: {allow: [a]}}}}\n")
	for _, tt := range []struct{ form, identity string }{
		{"subject", "CN=localhost"}, {"cn", "localhost"}, {"san", "localhost"},
	} {
		r.change(t, "auth: {certificate: {ca: '"+ours.certificate+"', identity: "+tt.form+"}}\n"+
			"permissions: {roles: {r: {publish: {allow: [a]}}}, identities: {'"+tt.identity+
			"': [r]}}\n")
		overTLS, err := dialTLS(r.tls, with)
		if err != nil {
			t.Fatal(err)
		}
		overWSS, _, err := dialWS("wss://"+r.wss+"/", &websocket.DialOptions{
			HTTPClient: &http.Client{Transport: &http.Transport{
				TLSClientConfig: with, DisableKeepAlives: true}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []peer{overTLS, overWSS} {
			c := adopt(t, p, tt.form)
			if o := c.initial["auth"].(map[string]any); o["identity"] != tt.identity {
				t.Errorf("%s: %v", tt.form, o)
			}
			c.send("publish:a:1.0.0:"+idA, "")
			c.expectFault("response:a:1.0.0:"+idA, "NO_ROUTE_FOUND")
			c.send("publish:b:1.0.0:"+idA, "")
			c.expectFault("response:b:1.0.0:"+idA, "FORBIDDEN")
		}
	}
	none := r.dial(t, overTLS)
	wantReason(t, none.refused("system.topic.list", "", "UNAUTHORIZED"), "UNAUTHORIZED", "required")
	other := identify(t)
	stranger, err := tls.LoadX509KeyPair(other.certificate, other.key)
	if err != nil {
		t.Fatal(err)
	}
	with = ours.trust()
	with.Certificates = []tls.Certificate{stranger}
	if p, err := dialTLS(r.tls, with); err == nil {
		defer func() { _ = p.Close() }()
		if f, err := p.Recv(time.Now().Add(patience)); err == nil {
			t.Errorf("a stranger's certificate is good for %s", f.data)
		}
	}
}

// What the file says of a key that a flag sets has no effect, and is shown as such, also when the
// file has changed.
func TestConfigurationInVain(t *testing.T) {
	t.Parallel()
	r := startReloading(t, "admission.rate: 100\n", "admission.rate=300")
	line := func(answer map[string]any) string {
		rows := answer["settings"].([]any)
		if answer["matched"] != 1.0 {
			return ""
		}
		row := rows[0].(map[string]any)
		return fmt.Sprint(row["key"], row["value"], row["file"], row["line"])
	}
	if got, want := line(r.see(t, "/configz?only=differs")),
		fmt.Sprint("admission.rate", 300.0, 100.0, "file "+r.path+", line 1"); got != want {
		t.Errorf("shown is %s, want %s", got, want)
	}
	r.put(t, "#\nadmission.rate: 200\n")
	eventually(t, "the line is another", func() bool {
		return line(r.see(t, "/configz?only=differs")) ==
			fmt.Sprint("admission.rate", 300.0, 200.0, "file "+r.path+", line 2")
	})
	r.put(t, "admission.rate: 300\n")
	eventually(t, "they say the same", func() bool {
		return r.see(t, "/configz?only=differs")["matched"] == 0.0
	})
}

// What readings of the configuration have changed is told, and when one was not taken why; what
// stands until the next start is told as such.
func TestConfigurationHistory(t *testing.T) {
	t.Parallel()
	r := startReloading(t, "admission.rate: 100\n")
	if a := r.see(t, "/configz"); a["readAt"] != nil || len(a["changes"].([]any)) != 0 {
		t.Errorf("at the start: %v, %v", a["readAt"], a["changes"])
	}
	r.put(t, "admission.rate: 200\nconnection.max.concurrent: 77\n")
	var answer map[string]any
	eventually(t, "it is read", func() bool {
		answer = r.see(t, "/configz?only=pending")
		return answer["readAt"] != nil
	})
	told := map[string]any{}
	for _, row := range answer["changes"].([]any) {
		row := row.(map[string]any)
		told[row["key"].(string)] = []any{row["from"], row["to"], row["live"]}
	}
	if want := map[string]any{
		"admission.rate":            []any{100.0, 200.0, true},
		"connection.max.concurrent": []any{100000.0, 77.0, false},
	}; !reflect.DeepEqual(told, want) {
		t.Errorf("changes %v, want %v", told, want)
	}
	r.put(t, "admission.rate: a lot\n")
	eventually(t, "that it was not taken", func() bool {
		answer = r.see(t, "/configz?search=admission.rate")
		fault, _ := answer["fault"].(string)
		return strings.Contains(fault, "admission.rate")
	})
	if row := answer["settings"].([]any)[0].(map[string]any); row["value"] != 200.0 {
		t.Errorf("in force: %v", row)
	}
	r.put(t, "admission.rate: 200\n")
	eventually(t, "that it is mended", func() bool {
		answer = r.see(t, "/configz?only=pending")
		return answer["fault"] == nil && answer["matched"] == 0.0
	})
	if n := len(answer["changes"].([]any)); n != 3 { // the one that waited does not any more
		t.Errorf("%d changes: %v", n, answer["changes"])
	}
}
