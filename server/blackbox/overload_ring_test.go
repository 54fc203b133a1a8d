package blackbox

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// ringAttack is one stalled subscriber whose ring is made to lose many large messages between small
// ones that stay: each of those must not keep the memory of its neighbours.
type ringAttack struct {
	rounds int
	limit  int // memory.limit
	n      *node
	slow   *client
}

// large is what is published four times in each round.
var large = []byte("publish:k.x:1.0.0\n" + strings.Repeat("x", 3900))

// startRingAttack starts a node that one subscriber is to make hold more than it may.
func startRingAttack(t *testing.T, subscription string) *ringAttack {
	a := &ringAttack{rounds: 20000, limit: 256 << 20} // 16 KB a round: 320 MB
	if raceEnabled {
		a.rounds /= 10 // its shadow memory and its pace are others: only the account is held then
	}
	// One loop: what the subscriber is given stands in one order.
	a.n = startNode(t, fmt.Sprintf("memory.limit=%d", a.limit), "loops=1",
		"connection.outbound.bytes=8388608", "logging.level=error")
	a.slow = a.n.narrow(t, overTCP)
	a.slow.subscribe("publish", "k.#", subscription)
	return a
}

// attack writes the rounds: in each, what small makes, and four large messages.
func (a *ringAttack) attack(t *testing.T, from *client, small func(dst []byte, i int) []byte) {
	t.Helper()
	var burst []byte
	for i := range a.rounds {
		burst = small(burst, i)
		for range 4 {
			burst = appendFrame(burst, large)
		}
		if len(burst) < 256<<10 && i < a.rounds-1 {
			continue
		}
		if err := from.peer.(*tcpPeer).write(burst); err != nil {
			t.Fatalf("in round %d: %v", i, err)
		}
		burst = burst[:0]
	}
}

// survived holds that the node lives within its memory, and tells what it holds.
func (a *ringAttack) survived(t *testing.T) {
	t.Helper()
	peak, charged := a.n.peakResident(), a.n.counter(t, "mb_memory_charged_bytes")
	t.Logf("peak of resident memory %d MiB of %d, %d KiB charged",
		peak>>20, a.limit>>20, charged>>10)
	if peak > a.limit && !raceEnabled {
		t.Errorf("resident memory came to %d MiB of %d, %d KiB are charged",
			peak>>20, a.limit>>20, charged>>10)
	}
	if shed := a.n.counter(t, "mb_connections_shed_total"); shed != 0 {
		t.Errorf("%d connections were cut for their memory", shed)
	}
}

// account reads until everything is received or told, and returns how many answers came too.
func (a *ringAttack) account(t *testing.T, publishes, answers int) {
	t.Helper()
	received, told, answered := 0, 0, 0
	for deadline := time.Now().Add(3 * patience); received+told < publishes || answered < answers; {
		if time.Now().After(deadline) {
			break
		}
		switch m := a.slow.fresh(); {
		case m.Action == "response":
			answered++
		case m.Topic == "system.dropped":
			g := parseGap(t, m)
			told += g.Count + g.Conflated
		default:
			received++
		}
	}
	if received+told != publishes || answered != answers {
		t.Errorf("received %d and was told of %d, of %d publishes; %d of %d answers",
			received, told, publishes, answered, answers)
	}
}

// A subscriber that conflates, on many topics, one of them loud, does not read: what the node holds
// for it is bounded by what waits for it.
func TestOverload_RingOfConflated(t *testing.T) { // alone: it measures the node's memory
	a := startRingAttack(t, `,"conflate":true`)
	publisher := a.n.dial(t, overTCP)
	a.attack(t, publisher, func(dst []byte, i int) []byte {
		return appendFrame(dst, fmt.Appendf(nil, "publish:k.p%d:1.0.0\n1", i))
	})
	publisher.settle()
	a.survived(t)
	a.account(t, 5*a.rounds, 0)
	publisher.none()
}

// The same with a subscriber that drops the oldest, and that asks for answers between, which are
// never dropped.
func TestOverload_RingOfAnswers(t *testing.T) {
	a := startRingAttack(t, `,"overflow":"drop-oldest"`)
	a.attack(t, a.slow, func(dst []byte, _ int) []byte {
		return appendFrame(dst, []byte("request:system.heartbeat:1.0.0:"+idA+"\n{}"))
	})
	other := a.n.dial(t, overTCP)
	other.settle()
	a.survived(t)
	a.account(t, 4*a.rounds, a.rounds)
	other.none()
}
