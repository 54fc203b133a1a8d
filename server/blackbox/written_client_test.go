package blackbox

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The client of docs/writing-a-client.md does what the page says.

// pythonBlocks writes the page's client into a folder and returns that, and the page's program.
func pythonBlocks(t *testing.T) (dir, program string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/writing-a-client.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(page), "```python\n")
	if len(parts) != 3 {
		t.Fatalf("the page has %d blocks of Python, want the client and a program", len(parts)-1)
	}
	for i := range parts {
		parts[i], _, _ = strings.Cut(parts[i], "```")
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mbclient.py"), []byte(parts[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, parts[2]
}

// script is a Python program beside the page's client.
type script struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	erred *output
}

func startScript(t *testing.T, dir, program string, arguments ...string) *script {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("the page's client needs python3: apt-get install python3")
	}
	s := &script{t: t, erred: &output{}}
	s.cmd = exec.Command(python, append([]string{"-c", program}, arguments...)...)
	s.cmd.Dir, s.cmd.Stderr = dir, s.erred
	s.cmd.Env = append(cleanEnvironment(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1")
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		s.in, err = s.cmd.StdinPipe()
	}
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewScanner(out)
	late := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() }) // ends what is waited for
	t.Cleanup(func() {
		late.Stop()
		_ = s.cmd.Process.Kill() // it has ended, or the test failed
		_ = s.cmd.Wait()
		if t.Failed() {
			t.Logf("on standard error:\n%s", s.erred)
		}
	})
	return s
}

// want waits for a line.
func (s *script) want(line string) {
	s.t.Helper()
	if !s.out.Scan() || s.out.Text() != line {
		s.t.Fatalf("it printed %q, want %q", s.out.Text(), line)
	}
}

// ask makes it send a request and waits for what it says of the answer.
func (s *script) ask(topic, payload, line string) {
	s.t.Helper()
	if _, err := io.WriteString(s.in, topic+" "+payload+"\n"); err != nil {
		s.t.Fatal(err)
	}
	s.want(line)
}

func TestWrittenClientAsThePageHasIt(t *testing.T) {
	n := startNode(t)
	dir, program := pythonBlocks(t)
	_, port, _ := strings.Cut(n.tcp, ":")
	if !strings.Contains(program, "3001") {
		t.Fatal("the page's program does not name port 3001")
	}
	s := startScript(t, dir, strings.Replace(program, "3001", port, 1))
	s.want("weather.berlin sunny")
	s.want("HELLO")
}

// driver asks for each line of its input, and says what becomes of it.
const driver = `
import sys
from mbclient import Client

def take(topic, payload):
    if topic == "shout":
        return payload.upper()
    print("got", topic, payload.decode())

b = Client([("publish", "weather.#"), ("request", "shout")], take, "127.0.0.1", int(sys.argv[1]),
           float(sys.argv[2]))
print("connected")
for line in sys.stdin:
    topic, payload = line.rstrip("\n").split(" ", 1)
    try:
        print(b.request(topic, payload.encode()).decode())
    except Exception as fault:
        print(type(fault).__name__, fault.args[0]["code"] if type(fault) is RuntimeError else fault)
`

// It answers heartbeats, asks for one itself, tells errors from answers, and comes back with its
// subscriptions when a node has gone or says nothing any more.
func TestWrittenClientLives(t *testing.T) {
	settings := []string{
		"connection.heartbeatRetryTimeout=50", "connection.heartbeatDeregisterTimeout=1000",
	}
	n := startNode(t, settings...)
	dir, _ := pythonBlocks(t)
	_, port, _ := strings.Cut(n.tcp, ":")
	s := startScript(t, dir, driver, port, "0.2")
	s.want("connected")
	s.ask("shout", "hello", "HELLO")
	s.ask("nobody", "", "RuntimeError NO_ROUTE_FOUND")

	c := n.dial(t, overTCP)
	c.send("publish:Weather.berlin.today:1.0.0", "sunny\nand warm")
	s.want("got Weather.berlin.today sunny")
	s.want("and warm")
	id := c.subscriberOf("weather.#")
	eventually(t, "its answers to heartbeats", func() bool {
		service := c.service(id)
		seen, _ := service["lastHeartbeat"].(string)
		connected, _ := service["connectedAt"].(string)
		return since(t, connected, seen) > 250*time.Millisecond
	})

	_ = c.peer.Close() // the node would wait for it
	n.stop()
	n = launchNode(t, launch{settings: settings, tcp: n.tcp})
	back := func() {
		t.Helper()
		c := n.dial(t, overTCP)
		before := id
		eventually(t, "its subscriptions, again", func() bool {
			id = c.subscriberOf("weather.#")
			return id != "" && id != before && c.subscriberOf("shout") == id
		})
		c.send("publish:weather.paris:1.0.0", "rain")
		s.want("got weather.paris rain")
		s.ask("shout", "again", "AGAIN")
		_ = c.peer.Close() // as above
	}
	back()

	// A node that stands still is given up after two silences, one to ask and one to wait.
	if err := n.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	before := strings.Count(s.erred.String(), "disconnected")
	eventually(t, "giving the node up", func() bool {
		return strings.Count(s.erred.String(), "disconnected") > before
	})
	if err := n.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	back()
}

// subscriberOf returns the ID of a service that is subscribed to a pattern, "" when none is.
func (c *client) subscriberOf(pattern string) string {
	c.t.Helper()
	all, _ := c.ok("system.topic.subscriptions", "{}")["subscriptions"].([]any)
	for _, each := range all {
		if s := each.(map[string]any); s["topic"] == pattern {
			return s["subscribers"].([]any)[0].(map[string]any)["serviceId"].(string)
		}
	}
	return ""
}

func since(t *testing.T, from, to string) time.Duration {
	t.Helper()
	a, err := time.Parse(time.RFC3339, from)
	if err != nil {
		t.Fatal(err)
	}
	b, err := time.Parse(time.RFC3339, to)
	if err != nil {
		t.Fatal(err)
	}
	return b.Sub(a)
}
