package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mbserver/client"
)

// step is one step of testdata/scenarios.json, which says what they mean.
type step struct {
	Node, End, Signal, Configure                string
	Connect, Close, Drain, Ping, Register, Kick string
	Subscribe, Unsubscribe, Handle, Release     string
	Publish, PublishAck, Request, Finished      string
	Receives, Accounts, Stands, Lists, Identity string
	Happens, Ends                               string
	Quiet                                       []string
	PauseMs                                     int

	Client, On, With, Pattern, Later    string
	Fails, Reason, Code, Throws         string
	To, Tokens                          []string
	Settings                            map[string]any
	Data, Answer                        json.RawMessage
	Subscribers, AbortMs                *int
	Many, Repeat, Bytes, Count, LastsMs int
	PendingBytes, TimeoutMs             int
	Hold, Spoil                         bool
	Wait                                *bool
}

// scene is one run of a scenario over one transport.
type scene struct {
	t         *testing.T
	transport string
	dir       string // of the nodes' configurations
	nodes     map[string]secureNode
	clients   map[string]*player
	made      map[string]*making
	later     map[string]chan outcome
}

// player is a client and what it was told.
type player struct {
	c *client.Client

	// Guarded by mu.
	mu      sync.Mutex
	events  []event
	dropped int
}

type event struct {
	name string
	code client.Code
}

// making is a subscription, or a handler, and what it got.
type making struct {
	s    *client.Subscription
	held chan struct{} // closed by release

	// Guarded by mu.
	mu  sync.Mutex
	got []string
	all int
}

// outcome is how a call came out.
type outcome struct {
	answer []byte
	ack    client.Ack
	err    error
}

// The scenarios that the TypeScript client runs too.
func TestScenarios(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "scenarios.json"))
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Scenarios []struct {
			Name  string
			Steps []json.RawMessage
		}
	}
	if err := json.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	for _, scenario := range table.Scenarios {
		for _, transport := range []string{"tcp", "ws", "tls", "wss"} {
			t.Run(scenario.Name+"/"+transport, func(t *testing.T) {
				t.Parallel()
				sc := &scene{
					t: t, transport: transport, dir: t.TempDir(),
					nodes:   make(map[string]secureNode),
					clients: make(map[string]*player), made: make(map[string]*making),
					later: make(map[string]chan outcome),
				}
				defer sc.end()
				for i, text := range scenario.Steps {
					sc.play(i+1, text)
				}
			})
		}
	}
}

func (sc *scene) play(n int, text json.RawMessage) {
	var compact bytes.Buffer
	_ = json.Compact(&compact, text) // It was read as JSON.
	var st step
	d := json.NewDecoder(&compact)
	d.DisallowUnknownFields()
	said := compact.String()
	if err := d.Decode(&st); err != nil {
		sc.t.Fatalf("step %d, %s: %v", n, said, err)
	}
	ctx, cancel := testContext(sc.t)
	defer cancel()
	if err := sc.step(ctx, &st); err != nil {
		sc.t.Fatalf("step %d, %s: %v", n, said, err)
	}
}

func (sc *scene) end() {
	for _, m := range sc.made {
		m.release()
	}
	for _, p := range sc.clients {
		_ = p.c.Close() // It never fails.
		<-p.c.Done()
	}
}

func (sc *scene) step(ctx context.Context, st *step) error {
	switch {
	case st.Node != "" || st.End != "" || st.Signal != "" || st.Configure != "":
		sc.control(st)
	case st.PauseMs > 0:
		time.Sleep(time.Duration(st.PauseMs) * time.Millisecond)
	case st.Connect != "":
		return sc.settle(st, sc.connect(ctx, st))
	case st.Subscribe != "" || st.Handle != "":
		return sc.settle(st, outcome{err: sc.subscribe(ctx, st)})
	case st.Unsubscribe != "":
		return sc.made[st.Unsubscribe].s.Unsubscribe(ctx)
	case st.Release != "":
		sc.made[st.Release].release()
	case st.Publish != "" || st.PublishAck != "" || st.Request != "" || st.Drain != "":
		return sc.call(ctx, st)
	case st.Finished != "":
		select {
		case o := <-sc.later[st.Finished]:
			return sc.settle(st, o)
		case <-ctx.Done():
			return ctx.Err()
		}
	case st.Register != "":
		return sc.clients[st.Client].c.Register(ctx, client.Registration{Name: st.Register})
	case st.Ping != "":
		return sc.clients[st.Ping].c.Ping(ctx)
	case st.Close != "":
		return sc.clients[st.Close].c.Close()
	case st.Kick != "":
		_, err := sc.clients[st.Client].c.System(ctx, "system.connection.kick",
			map[string]any{"serviceId": sc.clients[st.Kick].c.ServiceID()})
		return err
	case st.Stands != "" || st.Lists != "":
		return sc.look(ctx, st)
	default:
		return sc.check(ctx, st)
	}
	return nil
}

// check looks at what has come.
func (sc *scene) check(ctx context.Context, st *step) error {
	p := sc.clients[st.Client]
	switch {
	case st.Receives != "":
		var want []json.RawMessage
		if err := json.Unmarshal(st.Data, &want); err != nil {
			return err
		}
		return poll(ctx, func() error { return sc.made[st.Receives].received(want) })
	case st.Accounts != "":
		return poll(ctx, func() error { return sc.made[st.Accounts].accounted(p, st.Count) })
	case st.Identity != "":
		return poll(ctx, func() error {
			lasting := time.Until(p.c.ExpiresAt()) > time.Duration(st.LastsMs)*time.Millisecond
			if p.c.Identity() != st.Identity || !lasting {
				return fmt.Errorf("it is %q until %v", p.c.Identity(), p.c.ExpiresAt())
			}
			return nil
		})
	case st.Happens != "":
		return poll(ctx, func() error { return p.happened(st) })
	case st.Quiet != nil:
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, e := range p.events {
			if slices.Contains(st.Quiet, e.name) {
				return fmt.Errorf("there was %v", e)
			}
		}
		return nil
	case st.Ends != "":
		if err := sc.made[st.Ends].s.Err(); failure(err) != st.Fails {
			return fmt.Errorf("it ended with %v", err)
		}
		return nil
	}
	return errors.New("no such verb")
}

// poll returns when there is nothing to complain about any more.
func poll(ctx context.Context, complaint func() error) error {
	for {
		err := complaint()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("in time: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

var soon = regexp.MustCompile(`"@\+(\d+s)"`)

// file writes a node's configuration.
func (sc *scene) file(name string, settings map[string]any) string {
	n := sc.node(name)
	all := map[string]any{"shutdown.spread": 0, "admin.address": ""}
	for _, transport := range []string{"ws", "wss", "tcp", "tls"} {
		all["ports."+transport] = n.ports[transport]
	}
	for _, s := range n.always {
		key, value, _ := strings.Cut(s, "=")
		all[key] = value
	}
	maps.Copy(all, settings)
	text, err := json.Marshal(all)
	if err != nil {
		sc.t.Fatal(err)
	}
	text = soon.ReplaceAllFunc(text, func(at []byte) []byte {
		in, _ := time.ParseDuration(string(soon.FindSubmatch(at)[1])) // Digits and a unit.
		return fmt.Appendf(nil, "%q", time.Now().Add(in).UTC().Format(time.RFC3339Nano))
	})
	file := filepath.Join(sc.dir, name+".json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		sc.t.Fatal(err)
	}
	return file
}

func (sc *scene) node(name string) secureNode {
	n, known := sc.nodes[name]
	if !known {
		n = newSecureNode(sc.t, sc.transport)
		for _, other := range sc.nodes { // One certificate is enough to trust.
			n.always, n.trusting = other.always, other.trusting
		}
		sc.nodes[name] = n
	}
	return n
}

func (sc *scene) control(st *step) {
	signals := map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL,
		"STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT,
	}
	switch {
	case st.Node != "":
		sc.node(st.Node).run("--config", sc.file(st.Node, st.Settings))
	case st.Configure != "":
		sc.file(st.Configure, st.Settings)
		sc.node(st.Configure).signal(syscall.SIGHUP)
	case st.Signal != "":
		n := sc.node(st.Signal)
		n.signal(signals[st.With])
		for st.With == "STOP" && !stopped(n.cmd.Process.Pid) {
			time.Sleep(time.Millisecond)
		}
	case st.Wait != nil && !*st.Wait:
		sc.node(st.End).signal(signals[st.With])
	default:
		sc.node(st.End).end(signals[st.With])
	}
}

// stopped reports whether no thread of the process runs any more: a signal takes a moment. Where
// there is no /proc nobody knows.
func stopped(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid)) // The pattern is one.
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		_, state, _ := bytes.Cut(text, []byte(") "))
		if err == nil && !bytes.HasPrefix(state, []byte("T")) {
			return false
		}
	}
	return true
}
