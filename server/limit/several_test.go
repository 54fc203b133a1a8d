package limit

import (
	"testing"

	"pgregory.net/rapid"
)

// TestOverOneLimitConsumesFromNone takes from several buckets in the order of the package's
// documentation.
func TestOverOneLimitConsumesFromNone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.IntRange(1, 5)
		perService, perTopic := draw.Draw(t, "service"), draw.Draw(t, "topic")
		perNode := draw.Draw(t, "node")
		var service Local
		var total Bucket
		var cached *Bucket
		topics := NewTopics(PerSecond(perTopic), 4)
		pass := func(now int64) bool {
			if _, ok := service.Check(PerSecond(perService), now); !ok {
				return false
			}
			if _, ok := topics.Take(&cached, []byte("a"), now); !ok {
				return false
			}
			if _, ok := total.Take(PerSecond(perNode), now); !ok {
				cached.Give(topics.Rate())
				return false
			}
			if _, ok := service.Take(PerSecond(perService), now); !ok {
				t.Fatal("a Take after a good Check fails")
			}
			return true
		}
		models := []*model{newModel(perService), newModel(perTopic), newModel(perNode)}
		var now int64
		for range rapid.IntRange(1, 60).Draw(t, "messages") {
			now += rapid.Int64Range(0, 300).Draw(t, "gap")
			want := true
			for _, m := range models {
				_, ok := m.check(now)
				want = want && ok
			}
			if got := pass(now); got != want {
				t.Fatalf("at %d: passes %v, want %v", now, got, want)
			}
			for _, m := range models {
				if want {
					m.take(now)
				}
			}
		}
	})
}
