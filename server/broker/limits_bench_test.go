package broker

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"mbserver/server/config"
)

// everyLimit sets all limits far above any load.
func everyLimit(cfg *config.Config) {
	const much = 1_000_000_000
	cfg.RateLimit.PerService, cfg.RateLimit.PerTopic, cfg.RateLimit.Total = much, much, much
	cfg.RateLimit.TopicPerService = map[string]int{"a.#": much, "+.b": much}
	cfg.Max.OutstandingPerService = 1_000_000
	cfg.Connection.Backpressure = config.BackpressurePause
}

// limitsIf is everyLimit, or no change to the configuration.
func limitsIf(on bool) func(*config.Config) {
	if on {
		return everyLimit
	}
	return nil
}

// BenchmarkLimits is what limits cost a message: turns of 256, as under load, or of one message.
func BenchmarkLimits(b *testing.B) {
	for _, batch := range []int{1, 256} {
		for _, id := range []string{"", ":" + testRequestID} {
			for _, on := range []bool{false, true} {
				name := fmt.Sprintf("publish/batch=%d/acked=%v/limits=%v", batch, id != "", on)
				b.Run(name, func(b *testing.B) {
					n := newTestNode(b, 1, 1, limitsIf(on))
					ks := n.subscribers(1, 0, TransportTCP, "publish", "a.b")
					p := n.connect(0, TransportTCP)
					n.settle()
					quiet(append(ks, p)...)
					publish := p.again("publish:a.b:1.0.0" + id + "\n" + strings.Repeat("x", 128))
					for i := 1; b.Loop(); i++ {
						publish()
						if i%batch == 0 {
							n.settle()
						}
					}
					n.settle()
				})
			}
		}
	}
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprintf("request/limits=%v", on), func(b *testing.B) {
			n := newTestNode(b, 1, 1, limitsIf(on))
			s := n.subscribers(1, 0, TransportTCP, "request", "a.b")[0]
			c := n.connect(0, TransportTCP)
			n.settle()
			quiet(s, c)
			const batch = 64
			payload := strings.Repeat("x", 128)
			request := c.again("request:a.b:1.0.0:" + testRequestID + "\n" + payload)
			var frames []byte
			for i := 1; b.Loop(); i++ {
				request()
				if i%batch > 0 {
					continue
				}
				n.settle()
				frames = frames[:0]
				for e := range s.Conn.requests.All() {
					frames = appendAnswer(frames, e)
				}
				s.loop.begin()
				s.Conn.receive(frames, math.MaxInt, math.MaxInt)
				n.settle()
			}
		})
	}
}
