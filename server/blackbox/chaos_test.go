package blackbox

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
)

// How much the chaos is. A long run: -chaos.publishes=1000000 -chaos.requests=100000.
var (
	chaosPublishes = flag.Int("chaos.publishes", 60_000, "publishes of TestChaosPublishes")
	chaosRequests  = flag.Int("chaos.requests", 6_000, "requests of TestChaosRequests")
)

// chaosPatience bounds a run of any size.
const chaosPatience = 10 * time.Minute

// chaosLoops are the numbers of loops that are tried: with several, most messages cross.
var chaosLoops = []int{1, 2, 4}

// chaosSettings make an inbox between loops and a ring small enough to fill.
func chaosSettings(loops int) []string {
	return []string{fmt.Sprintf("loops=%d", loops), "memory.limit=67108864"}
}

// chaosSubscriber counts what it receives of each publisher.
type chaosSubscriber struct {
	*client
	last           map[string]int // publisher to the last number received
	received, told int
}

// take books one message, and says what is wrong with it.
func (s *chaosSubscriber) take(m message) error {
	if m.Topic == "system.dropped" {
		var gap struct{ Count int }
		if err := json.Unmarshal(m.Payload, &gap); err != nil || gap.Count < 1 {
			return fmt.Errorf("a gap of %s: %v", m.Payload, err)
		}
		s.told += gap.Count
		return nil
	}
	var number int
	publisher, digits, _ := strings.Cut(string(m.Payload), " ")
	if _, err := fmt.Sscanf(digits, "%d", &number); err != nil || m.Action != "publish" {
		return fmt.Errorf("received %v", m)
	}
	if last, there := s.last[publisher]; there && number <= last {
		return fmt.Errorf("%s: %d after %d", publisher, number, last)
	}
	s.last[publisher] = number
	s.received++
	return nil
}

// listen takes messages until all are received or told as lost.
func (s *chaosSubscriber) listen(all int) error {
	for end := time.Now().Add(chaosPatience); s.received+s.told < all; {
		f, err := s.peer.Recv(end)
		if err != nil {
			return fmt.Errorf("received %d, told %d of %d: %w", s.received, s.told, all, err)
		}
		m, err := parseMessage(f)
		if err == nil {
			err = s.take(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Whatever a flood of publishes does to rings and inboxes, each subscriber receives a publisher's
// messages in order, none twice, and what it received and was told of as lost is all there was. One
// of the subscribers begins to read only when everything was sent.
func TestChaosPublishes(t *testing.T) {
	const publishers, subscribers = 4, 5
	each := *chaosPublishes / publishers
	for _, loops := range chaosLoops {
		t.Run(fmt.Sprintf("loops=%d", loops), func(t *testing.T) {
			n := startNode(t, chaosSettings(loops)...)
			var work sync.WaitGroup
			sent := make(chan struct{})
			for i := range subscribers {
				s := &chaosSubscriber{client: n.dial(t, transports[i%2]), last: map[string]int{}}
				s.subscribe("publish", "chaos.#")
				work.Go(func() {
					if i == 0 {
						<-sent
					}
					if err := s.listen(publishers * each); err != nil {
						t.Errorf("subscriber %d: %v", i, err)
					}
				})
			}
			var sending sync.WaitGroup
			for i := range publishers {
				p, err := n.connect(overTCP)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = p.Close() }()
				sending.Go(func() { chaosPublish(t, p.(*tcpPeer), i, each) })
			}
			sending.Wait()
			close(sent)
			work.Wait()
		})
	}
}

// chaosPublish sends a publisher's messages, many at a time. It gets nothing but its welcome.
func chaosPublish(t *testing.T, p *tcpPeer, publisher, count int) {
	pad := strings.Repeat("x", 200)
	var burst []byte
	for number := range count {
		burst = appendFrame(burst, fmt.Appendf(nil, "publish:chaos.t%d:1.0.0\np%d %d %s",
			number%7, publisher, number, pad))
		if len(burst) > 32<<10 || number == count-1 {
			if err := p.write(burst); err != nil {
				t.Errorf("publisher %d: %v", publisher, err)
				return
			}
			burst = burst[:0]
		}
	}
}

// Each request gets exactly one answer, whichever loops its requester and its service live on,
// while a service leaves in the middle of it.
func TestChaosRequests(t *testing.T) {
	const requesters, services, window = 4, 3, 64
	each := *chaosRequests / requesters
	for _, loops := range chaosLoops {
		t.Run(fmt.Sprintf("loops=%d", loops), func(t *testing.T) {
			n := startNode(t, chaosSettings(loops)...)
			var answered atomic.Int64
			for i := range services {
				s := n.dial(t, transports[i%2])
				s.subscribe("request", "chaos.ask")
				leave := int64(-1)
				if i == 0 {
					leave = int64(requesters*each) / 3
				}
				go chaosServe(s, &answered, leave)
			}
			var work sync.WaitGroup
			for i := range requesters {
				c := n.dial(t, transports[i%2])
				work.Go(func() {
					if err := chaosAsk(c, each, window); err != nil {
						t.Errorf("requester %d: %v", i, err)
					}
				})
			}
			work.Wait()
		})
	}
}

// chaosServe answers until its connection ends; it ends it itself at so many answers of all.
func chaosServe(s *client, answered *atomic.Int64, leave int64) {
	for {
		f, err := s.peer.Recv(time.Now().Add(chaosPatience))
		if err != nil {
			return
		}
		m, err := parseMessage(f)
		if err != nil || m.Action != "request" {
			continue
		}
		if n := answered.Add(1); n >= leave && leave >= 0 {
			_ = s.peer.Close()
			return
		}
		if s.peer.Send([]byte("response:chaos.ask:1.0.0:"+m.ID+"\n"+string(m.Payload))) != nil {
			return
		}
	}
}

// chaosAsk makes count requests, window of them at a time, and holds that each is answered once:
// with its own payload, or because its service has left.
func chaosAsk(c *client, count, window int) error {
	open := map[string]string{} // request ID to payload
	for asked, answers := 0, 0; answers < count; {
		for ; asked < count && len(open) < window; asked++ {
			id, payload := uuid.NewString(), fmt.Sprint("question ", asked)
			open[id] = payload
			header := "request:chaos.ask:1.0.0:" + id + "::600000\n"
			if err := c.peer.Send([]byte(header + payload)); err != nil {
				return err
			}
		}
		f, err := c.peer.Recv(time.Now().Add(chaosPatience))
		if err != nil {
			return fmt.Errorf("%d answers of %d: %w", answers, count, err)
		}
		m, err := parseMessage(f)
		if err != nil {
			return err
		}
		payload, asked := open[m.ID]
		lost := strings.Contains(string(m.Payload), `"reason":"disconnected"`)
		if !asked || m.Action != "response" || string(m.Payload) != payload && !lost {
			return fmt.Errorf("not asked, or answered twice or wrongly: %v", m)
		}
		delete(open, m.ID)
		answers++
	}
	return nil
}
