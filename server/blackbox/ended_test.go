package blackbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// sender is a bare connection that can end its own stream and read on.
type sender struct {
	*rawConn
	transport string
}

func dialSender(t *testing.T, n *node, transport string) *sender {
	t.Helper()
	if transport == overWS {
		return &sender{dialRawWS(t, n), transport}
	}
	r := dialRaw(t, n.tcp)
	s := &sender{r, transport}
	if m := s.next(); !strings.HasPrefix(m, "publish:system.initialize:") {
		t.Fatalf("the first message is %q", m)
	}
	return s
}

// say sends a message.
func (s *sender) say(message string) {
	s.t.Helper()
	if s.transport == overWS {
		s.write(wsFrame(fin|opText, []byte(message)))
		return
	}
	s.write(append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...))
}

// next reads a message.
func (s *sender) next() string {
	s.t.Helper()
	if s.transport == overWS {
		_, payload := s.frame()
		return string(payload)
	}
	var head [4]byte
	_, err := io.ReadFull(s.in, head[:])
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	if err == nil {
		_, err = io.ReadFull(s.in, body)
	}
	if err != nil {
		s.t.Fatalf("reading a message: %v", err)
	}
	return string(body)
}

// endStream ends the sender's stream, not the other direction.
func (s *sender) endStream() {
	s.t.Helper()
	if err := s.conn.CloseWrite(); err != nil {
		s.t.Fatal(err)
	}
}

// left reads to the end of the node's stream.
func (s *sender) left() string {
	s.t.Helper()
	b, err := io.ReadAll(s.in)
	if err != nil {
		s.t.Fatalf("the node's stream ends with %v", err)
	}
	return string(b)
}

// Who asks and ends its stream still gets the answers, over any loops; then the node closes. What
// it was to others has ended at once.
func TestS6_EndOfStream(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		other := n.dial(t, overTCP)
		for range 4 { // so that both are on one loop, and on two
			target := n.dial(t, to)
			target.subscribe("request", "end.ask")
			asker := dialSender(t, n, from)
			asker.say("request:system.topic.subscribe:1.0.0:" + idA + "\n" +
				`{"action":"both","topic":"end.mine"}`)
			if m := asker.next(); !strings.Contains(m, "success") {
				t.Fatal(m)
			}
			other.send("request:end.mine:1.0.0:"+idB, "will you?")
			if m := asker.next(); !strings.HasPrefix(m, "request:end.mine:") {
				t.Fatal(m)
			}
			asker.say("request:end.ask:1.0.0:" + idA + "\nplease")
			asker.say("request:system.service.list:1.0.0:" + idB + "\n{}")
			asker.endStream()
			asked := target.expectPayload("request:end.ask:1.0.0:*", "please")
			// Its service has ended, though it still waits for its answer.
			m := other.expect("response:end.mine:1.0.0:" + idB)
			if e := m.fault(t); e.Details["reason"] != "disconnected" {
				t.Errorf("got %v", m)
			}
			other.send("publish:end.mine:1.0.0:"+idC, "")
			other.expectFault("response:end.mine:1.0.0:"+idC, "NO_ROUTE_FOUND")
			target.send("response:end.ask:1.0.0:"+asked.ID, "here")
			all := asker.left()
			for _, want := range []string{"response:end.ask:1.0.0:" + idA + "\nhere",
				"response:system.service.list:1.0.0:" + idB + "\n"} {
				if strings.Count(all, want) != 1 {
					t.Errorf("%q was answered %q", want, all)
				}
			}
			target.none()
			_ = target.peer.Close()
		}
		eventually(t, "all but one are gone", func() bool {
			return n.counter(t, "mb_connections") == 1
		})
	})
}

// What a ring holds is written after the end of its reader's stream, for as long as it reads; who
// is owed nothing is closed at once, and everybody soon.
func TestS6_EndOfStreamIsBounded(t *testing.T) {
	perPlain(t, nil, func(t *testing.T, n *node, transport string) {
		target := n.dial(t, overTCP)
		target.subscribe("request", "end.never")
		publisher := n.dial(t, overTCP)

		slow := dialSender(t, n, transport)
		slow.say("request:system.topic.subscribe:1.0.0:" + idA + "\n" +
			`{"action":"publish","topic":"end.much"}`)
		slow.next()
		const count, size = 300, 10_000 // 3 MB: a ring takes it, and the sockets between do not
		payload := strings.Repeat("m", size)
		for range count - 1 {
			publisher.send("publish:end.much:1.0.0", payload)
		}
		// Its acknowledgement says that all have come to the subscriber's loop.
		publisher.send("publish:end.much:1.0.0:"+idA, payload)
		publisher.expect("response:end.much:1.0.0:" + idA)
		slow.endStream()
		began := time.Now()
		all := slow.left()
		if got := strings.Count(all, payload); got != count {
			lost := regexp.MustCompile(`system.dropped:1.0.0\n\{[^}]*\}`).FindString(all)
			t.Errorf("it received %d messages of %d, and was told %q: %d bytes, the last are %q",
				got, count, lost, len(all), all[len(all)-20:])
		}
		if passed := time.Since(began); passed > patience/2 {
			t.Errorf("that took %v", passed)
		}

		idle := dialSender(t, n, transport)
		idle.endStream()
		began = time.Now()
		idle.left()
		if passed := time.Since(began); passed > time.Second {
			t.Errorf("who is owed nothing was closed after %v", passed)
		}

		waiting := dialSender(t, n, transport)
		waiting.say("request:end.never:1.0.0:" + idA + "::60000\nq")
		waiting.endStream()
		began = time.Now()
		asked := target.expectPayload("request:end.never:1.0.0:*", "q")
		if all := waiting.left(); all != "" {
			t.Errorf("it received %q", all)
		}
		if passed := time.Since(began); passed < 1900*time.Millisecond || passed > patience/2 {
			t.Errorf("it was closed after %v, not 2 s", passed)
		}
		target.send("response:end.never:1.0.0:"+asked.ID, "late") // is dropped silently
		target.none()

		reset := dialSender(t, n, transport)
		reset.say("request:end.never:1.0.0:" + idB + "::60000\nq")
		target.expectPayload("request:end.never:1.0.0:*", "q")
		_ = reset.conn.SetLinger(0)
		_ = reset.conn.Close()
		eventually(t, "a reset ends all", func() bool {
			return n.counter(t, "mb_connections") == 2
		})
	})
}

// A publisher that pipes its messages in and ends its stream gets every acknowledgement and error.
func TestS6_EndOfStreamOfAPublisher(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		const count = 200
		var subscribers []*client
		for range 3 { // on all loops
			s := n.dial(t, to)
			s.subscribe("publish", "end.piped")
			subscribers = append(subscribers, s)
		}
		publisher := dialSender(t, n, from)
		id := func(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }
		for i := range count {
			publisher.say("publish:end.piped:1.0.0:" + id(i) + "\nm")
			publisher.say("publish:end.nobody:1.0.0:" + id(count+i) + "\nm")
		}
		publisher.endStream()
		all := []byte(publisher.left())
		for i := range count {
			if bytes.Count(all, []byte("response:end.piped:1.0.0:"+id(i)+"\n")) != 1 ||
				bytes.Count(all, []byte("response:end.nobody:1.0.0:"+id(count+i)+"\n")) != 1 {
				t.Fatalf("publish %d is not answered once", i)
			}
		}
		for _, s := range subscribers {
			for range count {
				s.expectPayload("publish:end.piped:1.0.0:*", "m")
			}
		}
	})
}
