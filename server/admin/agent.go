package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"
)

// Agent tells balancers how much the node takes, in the words of HAProxy's agent-check
// (configuration manual, section 5.2, "agent-check"): whoever connects is sent one line and the end
// of the stream. One after the other is served, each in a moment. A nil Agent is one that is off.
// Any goroutine.
type Agent struct {
	// Immutable after StartAgent.
	node     Node
	listener net.Listener
	done     chan struct{} // closed when the agent's goroutine has ended

	// Owned by the agent's goroutine.
	weight weight
}

// Bounds of one answer.
const (
	agentTime  = 200 * time.Millisecond // for the line, and for what the peer sends
	agentBytes = 1 << 10                // of that
	agentPause = 100 * time.Millisecond // after a failed accept
)

// StartAgent binds the address and serves it; an empty one gives nil. The error is the system's.
func StartAgent(address string, n Node, log *slog.Logger) (*Agent, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := listen(address)
	if err != nil {
		return nil, err
	}
	a := &Agent{node: n, listener: listener, done: make(chan struct{})}
	a.weight.begin(time.Now(), n.Load())
	log.With("module", "admin").Info("listening",
		"transport", "agent", "address", listener.Addr().String())
	go a.serve()
	return a, nil
}

// serve answers until the listener is closed.
func (a *Agent) serve() {
	defer close(a.done)
	for {
		c, err := a.listener.Accept()
		switch {
		case err == nil:
			a.answer(c)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			time.Sleep(agentPause)
		}
	}
}

// answer sends the line. What the peer sends (agent-send) is read: closing with bytes unread could
// take the line away from it.
func (a *Agent) answer(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(agentTime))
	if _, err := io.WriteString(c, a.line(time.Now())); err != nil {
		return
	}
	if c, ok := c.(*net.TCPConn); ok && c.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, c, agentBytes)
	}
}

// line is what the node says of itself. Its own state is told by words that the next line takes
// back: a weight of 0 where new connections are unwelcome, which leaves those that stand. What only
// operators may decide (ready, drain, maint) is never said, so theirs stands.
func (a *Agent) line(now time.Time) string {
	weight := a.weight.next(now, a.node.Load())
	if alive, word := a.node.Live(); !alive {
		return "down #" + word + "\n"
	}
	switch ready, word := a.node.Ready(); {
	case ready:
		return fmt.Sprintf("up %d%%\n", weight)
	case word == "starting" || word == "stopped":
		return "down #" + word + "\n"
	}
	return "up 0%\n"
}

// Addr returns the bound address, "" when the agent is off.
func (a *Agent) Addr() string {
	if a == nil {
		return ""
	}
	return a.listener.Addr().String()
}

// Close ends the listener, and returns when nothing of it is left or ctx ends.
func (a *Agent) Close(ctx context.Context) {
	if a == nil {
		return
	}
	_ = a.listener.Close()
	select {
	case <-a.done:
	case <-ctx.Done():
	}
}
