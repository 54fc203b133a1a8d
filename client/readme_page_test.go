package client_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"mbserver/client"
)

// browsers are the names under which Chromium may be installed.
var browsers = []string{
	"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
	"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	"/Applications/Chromium.app/Contents/MacOS/Chromium",
}

// pageHost is a name that is not localhost: to a browser no secure context.
const pageHost = "page.example"

// page is what a browser shows; its console comes back to the test.
type page struct {
	server *httptest.Server
	lines  chan string
}

// serve starts a server that answers with a page of the program. What it logs
// is posted, in order, to /console.
func serve(t *testing.T, program string) *page {
	p := &page{lines: make(chan string, 1000)}
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			line, _ := io.ReadAll(r.Body) // A torn one is not what is waited for.
			p.lines <- string(line)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><script>
let posted = Promise.resolve();
const post = (line) => {
  posted = posted.then(() => fetch("/console", { method: "POST", body: line }));
};
console.log = (...values) => post(values.join(" "));
onerror = (message) => post("error: " + message);
post("secure: " + isSecureContext);
</script><script type="module">
%s
</script>`, program)
	}))
	t.Cleanup(p.server.Close)
	return p
}

// open shows the page, as one of host, in a browser until the test ends. Every host name ending in
// .example is this machine.
func (p *page) open(t *testing.T, host string, flags ...string) {
	t.Helper()
	var browser string
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Fatal("the program in README.md is tried in a browser: apt-get install chromium")
	}
	at, err := url.Parse(p.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	arguments := []string{
		"--headless", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--no-proxy-server",
		"--user-data-dir=" + t.TempDir(),
		"--host-resolver-rules=MAP *.example 127.0.0.1",
	}
	arguments = append(arguments, flags...)
	if os.Getuid() == 0 {
		arguments = append(arguments, "--no-sandbox") // It refuses root otherwise.
	}
	cmd := exec.Command(browser, append(arguments, "http://"+host+":"+at.Port())...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // It has children.
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // It may have ended.
		_ = cmd.Wait()                                      // As we asked it to.
		if t.Failed() {
			t.Logf("%s said: %s", browser, said.Bytes())
		}
	})
}

// next is the next line of the console.
func (p *page) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-p.lines:
		return line
	case <-time.After(patience):
		t.Fatal("the page prints nothing more")
		panic("unreachable")
	}
}

var shortID = regexp.MustCompile("[0-9a-f]{4}…")

// The program for a browser in the README runs as pasted into a page that is
// no secure context, prints what the README says, and stays connected.
func TestReadmePage(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, program, found := strings.Cut(string(readme), "```js\n")
	program, rest, closed := strings.Cut(program, "```")
	if !found || !closed {
		t.Fatal("README.md has no block of JavaScript")
	}
	_, printed, _ := strings.Cut(rest, "It prints")
	var want []*regexp.Regexp
	for line := range strings.Lines(printed) {
		if line, indented := strings.CutPrefix(line, "    "); indented {
			line = regexp.QuoteMeta(strings.TrimSpace(line))
			line = shortID.ReplaceAllString(line, "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
			line = strings.ReplaceAll(line, "…", ".+")
			want = append(want, regexp.MustCompile("^"+line+"$"))
		} else if len(want) > 0 {
			break
		}
	}
	if len(want) != 4 {
		t.Fatalf("README.md says that %d lines are printed", len(want))
	}
	n := startNode(t, "ws.hosts="+pageHost, "connection.heartbeatRetryTimeout=100",
		"connection.heartbeatDeregisterTimeout=400")
	const address = "ws://localhost:3000"
	if !strings.Contains(program, address) {
		t.Fatalf("the program does not connect to %s", address)
	}
	own := fmt.Sprintf("ws://%s:%d", pageHost, n.ports["ws"])
	program = strings.Replace(program, address, own, 1)
	p := serve(t, program)
	p.open(t, pageHost)
	if line := p.next(t); line != "secure: false" {
		t.Fatalf("the page is no test: %s", line)
	}
	for _, line := range want {
		if got := p.next(t); !line.MatchString(got) {
			t.Errorf("it prints %q, want %q", got, line)
		}
	}
	// Who does not answer heartbeats is disconnected three times in this time.
	ctx, cancel := testContext(t)
	defer cancel()
	c, err := client.Dial(ctx, n.URL("tcp"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // It never fails.
	for range 12 {
		time.Sleep(100 * time.Millisecond)
		if _, err := c.PublishAck(ctx, "flights.jfk.lax.ontime", []byte("late")); err != nil {
			t.Fatalf("the page has gone: %v", err)
		}
	}
	if got := p.next(t); !strings.HasPrefix(got, "publish:flights.jfk.lax.ontime:1.0.0:") {
		t.Errorf("it prints %q", got)
	}
}
