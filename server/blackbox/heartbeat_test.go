package blackbox

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A message that a service sends counts as its heartbeat;
// silence is asked after, then ends the connection.
func TestS8_HeartbeatTimeouts(t *testing.T) {
	settings := []string{
		"connection.heartbeatRetryTimeout=300", "connection.heartbeatDeregisterTimeout=1000",
	}
	perPlain(t, settings, func(t *testing.T, n *node, transport string) {
		start := time.Now()
		silent := n.dial(t, transport)
		answering := n.dial(t, overTCP)
		answering.subscribe("publish", "beat.answering")
		silent.subscribe("both", "beat.silent")
		quiet := time.Now()
		done := make(chan error, 1)
		go func() { done <- answerHeartbeats(answering.peer, 8) }()
		asked := 0
		for {
			m, err := silent.tryFresh()
			if err != nil {
				break
			}
			if m.head() != "request:system.heartbeat:1.0.0" || string(m.Payload) != "{}" {
				t.Fatalf("got %v", m)
			}
			asked++
			passed := time.Since(quiet)
			if passed < time.Duration(asked)*300*time.Millisecond-50*time.Millisecond {
				t.Errorf("heartbeat %d after %v", asked, passed)
			}
		}
		passed := time.Since(quiet)
		if passed < 950*time.Millisecond || passed > 5*time.Second || time.Since(start) < passed {
			t.Errorf("closed after %v of silence", passed)
		}
		if asked < 2 || asked > 3 {
			t.Errorf("asked %d times in a second, every 300 ms", asked)
		}
		// It took eight answers to get here: far longer than the deregister timeout.
		if err := <-done; err != nil {
			t.Fatalf("the one that answers: %v", err)
		}
		if answering.service(silent.id) != nil {
			t.Error("the silent one is still listed")
		}
		text := string(answering.call("system.topic.subscriptions", "").Payload)
		if strings.Contains(text, silent.id) {
			t.Errorf("it left traces: %s", text)
		}
	})
}

// answerHeartbeats answers count of the broker's heartbeats and returns.
func answerHeartbeats(p peer, count int) error {
	for range count {
		f, err := p.Recv(time.Now().Add(patience))
		if err != nil {
			return err
		}
		if m, err := parseMessage(f); err != nil || m.head() != "request:system.heartbeat:1.0.0" {
			return fmt.Errorf("got %v, %v", m, err)
		}
		alive := []byte("response:system.heartbeat:1.0.0\n{\"status\":\"success\"}")
		if err := p.Send(alive); err != nil {
			return err
		}
	}
	return nil
}

// Any message keeps a service alive, a malformed one too.
func TestS8_AnyMessageIsAHeartbeat(t *testing.T) {
	settings := []string{
		"connection.heartbeatRetryTimeout=300", "connection.heartbeatDeregisterTimeout=900",
	}
	perTransport(t, settings, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		c.subscribe("publish", "any.test")
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for i := range 15 {
			<-ticker.C // the test's subject is time
			if i%2 == 0 {
				c.send("publish:any.test:1.0.0", "")
				c.await("its own message", func(m message) bool { return m.Topic == "any.test" })
			} else {
				c.send("nonsense", "")
				c.await("the error", func(m message) bool { return m.Topic == "error" })
			}
		}
		if c.service(c.id) == nil {
			t.Error("it is not listed")
		}
	})
}
