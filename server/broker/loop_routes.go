package broker

import (
	"sync/atomic"

	"mbserver/server/wheel"
	"mbserver/topic"
)

// Remembered routes: what a loop found out about the topics of late messages.
//
// Purpose. A message on a topic that was looked up before costs a look at two counters, whoever
// subscribes to whatever else.
//
// Outline. One cache for publishes, whose values are targets (publish_route.go), one for requests,
// whose values are candidates (request_choose.go); topic/cache.go is how they are kept. Topics that
// the same patterns match share a value, which is found again by these patterns when subscriptions
// have changed, so that it is made anew only when its own have.
//
// Invariants. Each of the two holds at most its share of memory.limit (bounds.routeBytes), or one
// topic's when that is more. What both hold beyond routesFree is charged to the loop.
//
// Cost. A topic that is not remembered costs a match, which is less than a microsecond, and up to
// half of one for each target, unless another topic has the same. Those that subscriptions have
// outdated, and those of which nobody speaks any more, are given back in pieces, one at the end of
// each turn (settleRoutes). As long as something is charged, a loop that has no turns of its own is
// called for them: nothing stays because nobody speaks at all.
type remembering struct {
	publishes *topic.Cache[*service, *targets]
	requests  *topic.Cache[*service, *candidates]

	charged int64       // of what they hold
	aged    int64       // loop ms: when names of which nobody speaks were last looked for
	timer   wheel.Timer // calls for the next piece

	targets atomic.Int64 // in all of both; any goroutine
}

const (
	// routeShare: what all loops remember of routes holds at most 1/routeShare of memory.limit.
	routeShare = 16

	// routesFree is how many bytes of that a loop is not charged: what few topics take.
	routesFree = 64 << 10

	// routesTurn is how many topics of each kind a loop looks at in a turn when some may be given
	// back: less than a microsecond.
	routesTurn = 128

	// routesAge is how many milliseconds pass between two looks for topics of which nobody speaks.
	routesAge = 4000

	// routesRest is how many milliseconds pass between two pieces when nothing else has the loop
	// take a turn.
	routesRest = 4
)

func (r *remembering) init(l *Loop) {
	b := l.broker
	r.timer.Owner = r
	r.publishes = topic.NewCache(b.trie, topic.Publish, b.routeBytes, l.buildTargets)
	r.requests = topic.NewCache(b.trie, topic.Request, b.routeBytes, buildCandidates)
}

// settleRoutes gives a part of what is remembered in vain back, and charges what is held.
func (l *Loop) settleRoutes() {
	r := &l.routes
	if r.charged == 0 && r.publishes.Settled() && r.requests.Settled() {
		return
	}
	age := r.charged > 0 && l.time.Ms-r.aged >= routesAge
	if age {
		r.aged = l.time.Ms
	}
	r.publishes.Sweep(routesTurn, age)
	r.requests.Sweep(routesTurn, age)
	if n := int64(r.publishes.Targets() + r.requests.Targets()); n != r.targets.Load() {
		r.targets.Store(n)
	}
	held := max(int64(r.publishes.Held()+r.requests.Held())-l.broker.routesFree, 0)
	l.charge += held - r.charged
	r.charged = held
	switch {
	case held == 0:
		l.wheel.Cancel(&r.timer)
	case r.timer.Armed():
	case r.publishes.Settled() && r.requests.Settled():
		l.wheel.Add(&r.timer, r.aged+routesAge)
	default:
		l.wheel.Add(&r.timer, l.time.Ms+routesRest)
	}
}

// Expire implements wheel.Expirer: the turn that this makes does what is due.
func (r *remembering) Expire(*wheel.Timer, int64) {}
