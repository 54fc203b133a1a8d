package blackbox

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser is a headless Chromium with one page. What its console has to complain of fails the test:
// an exception, a file that is not there, what the page's policy forbids.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu    sync.Mutex
	wrong []string // guarded by mu
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("the console is tried in a browser: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1280, 900))
	ctx, end := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(end)
	ctx, end = chromedp.NewContext(ctx)
	t.Cleanup(end)
	b := &browser{t: t, ctx: ctx}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return // the browser has ended
			}
			if m.IsException() || m.Type == chromedp.ConsoleError {
				b.note(m.String() + " " + m.URL)
			}
		}
	}()
	return b
}

func (b *browser) note(wrong string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, wrong)
}

// do has the page do something, for as long as is bearable.
func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, end := context.WithTimeout(b.ctx, patience)
	defer end()
	if err := chromedp.Do(ctx, actions...); err != nil {
		text, _ := chromedp.Run(b.ctx, chromedp.Text("body")) // more words, if it can give them
		b.t.Fatalf("%v; the page shows:\n%s", err, text)
	}
}

// shows waits until the page shows every text.
func (b *browser) shows(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		is := fmt.Sprintf(`document.body.innerText.includes(%q)`, text)
		b.do(func(ctx context.Context, t *chromedp.Target) (v chromedp.Void, err error) {
			_, err = chromedp.Poll[bool](is)(ctx, t)
			return v, err
		})
	}
}

// view goes to a view and waits until it shows every text.
func (b *browser) view(n *node, view string, texts ...string) {
	b.t.Helper()
	b.do(chromedp.Navigate("http://" + n.admin + "/#/" + view))
	b.shows(texts...)
}

// fine fails the test for what the browser has complained of, but for a status that was meant.
func (b *browser) fine(status int) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, wrong := range b.wrong {
		if !strings.Contains(wrong, fmt.Sprintf("status of %d", status)) {
			b.t.Error("the browser: " + wrong)
		}
	}
}

// Each view of the console shows what the node does, and what an operator does there happens.
func TestConsole(t *testing.T) {
	n := startNode(t, "admin.operator=true", "explain.sample=1")
	service, reader := n.dial(t, overTCP), n.dial(t, overWS)
	service.ok("system.service.register", `{"name":"clock","description":"tells the time"}`)
	service.subscribe("request", "time.now")
	reader.subscribe("publish", "orders.#")
	b := openBrowser(t)

	b.view(n, "overview", "Nothing is wrong.", "Messages", "connections")
	b.view(n, "connections", "clock", "2 of 2")
	b.view(n, "services", "tells the time", "1 registered")
	b.view(n, "topics?pattern=orders.%23", "Who is subscribed to", "live tail", "Publish")
	b.view(n, "configuration?only=set", "admin.operator", "flag --set")
	b.view(n, "explain?topic=orders.new", "What would become of it", "matched", "delivered")
	b.view(n, "explain?topic=nobody.home", "unrouted")
	b.view(n, "logs", "Logs")
	b.view(n, "cluster", "This node is alone")
	b.view(n, "nowhere", "There is no such view.")

	b.view(n, "tail?topic=orders.%23", "Live tail")
	b.do(chromedp.Sleep(300 * time.Millisecond)) // its stream is open soon
	for i := range 5 {
		service.send(fmt.Sprintf("publish:orders.n%d:1.0.0", i), `{"total":3.5}`)
	}
	reader.await("the last", func(m message) bool { return m.Topic == "orders.n4" })
	b.shows("orders.n4", `"total": 3.5`, "5 of 5 shown")

	b.view(n, "services", "Try a request")
	b.do(chromedp.SendKeys(`form input`, "time.now"), chromedp.Click(`form button.main`))
	asked := service.await("the request", func(m message) bool {
		return m.Action == "request" && m.Topic == "time.now"
	})
	service.send("response:time.now:1.0.0:"+asked.ID, `{"hour":12}`)
	b.shows(`"hour": 12`)

	b.view(n, "connections/"+service.id, "clock", "What it went through", "time.now")
	b.do(chromedp.Click(`.action:nth-of-type(2) > button`), // Mute
		chromedp.Click(`dialog[open] button[type=submit]`))
	b.do(chromedp.WaitNotPresent(`dialog[open]`))
	service.send("publish:orders.muted:1.0.0:"+idA, "x")
	service.await("that it is muted", func(m message) bool {
		return strings.Contains(string(m.Payload), `"muted"`)
	})
	b.do(chromedp.Click(`.action:nth-of-type(1) > button`), // Kick
		chromedp.Click(`dialog[open] button[type=submit]`))
	service.await("that it is kicked", func(m message) bool {
		return strings.Contains(string(m.Payload), `"kicked"`)
	})
	b.shows("It is not connected any more.")
	b.fine(404) // who is not there any more is asked for once more, and Chromium says so
}

// Where the node asks who somebody is, so does the page; whoever may not act is shown no way to.
func TestConsoleAsks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mb.yaml")
	if err := os.WriteFile(file, []byte(consoleRoles), 0o600); err != nil {
		t.Fatal(err)
	}
	n := launchNode(t, launch{config: file})
	b := openBrowser(t)
	b.view(n, "overview", "This node wants to know who you are.")
	b.do(chromedp.Evaluate[chromedp.Void](lateAnswers))
	b.do(chromedp.SendKeys(`input[type=password]`, "wrong"), chromedp.Click(`button.main`))
	b.shows("this token is not valid")
	b.do(func(ctx context.Context, t *chromedp.Target) (v chromedp.Void, err error) {
		_, err = chromedp.Poll[bool](`!!window.late`)(ctx, t)
		return v, err
	})
	// What was asked without a token may be answered when there is one: it says nothing of that.
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[type=password]").select()`),
		chromedp.SendKeys(`input[type=password]`, "viewer"), chromedp.Evaluate[chromedp.Void](
			`document.querySelector("button.main").click(); window.late()`))
	b.shows("Nothing is wrong.", "viewer")
	text, err := chromedp.Run(b.ctx, chromedp.Text("body"))
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{"Drain", "Live tail", "Explain", "Logs"} {
		if strings.Contains(text, hidden) {
			t.Errorf("who may not is shown %q in\n%s", hidden, text)
		}
	}
	b.view(n, "logs", "This view is not for you")
}

// lateAnswers has the page hear of what it asks without a token when the test calls window.late.
const lateAnswers = `
const ask = window.fetch;
window.fetch = async (path, options) => {
  const answer = await ask(path, options);
  if (options.headers.Authorization) return answer;
  const text = await answer.text();
  return new Promise((done) => {
    window.late = () => done(new Response(text, { status: answer.status }));
  });
};
0`

// consoleRoles knows viewer, whose token is its name.
const consoleRoles = `
auth.tokens:
  - identity: viewer
    sha256: d35ca5051b82ffc326a3b0b6574a9a3161dee16b9478a199ee39cd803ce5b799
    roles: [viewer]
permissions.roles:
  viewer: {system: [connection, metrics, service.list, topic.list]}
`
