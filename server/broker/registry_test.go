package broker

import (
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"mbserver/codec"
)

// The registry is a map, whatever comes and goes.
func TestRegistryIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r registry
		model := make(map[codec.UUID]*service)
		// IDs that differ in few bits meet in the same places.
		id := rapid.Custom(func(t *rapid.T) (id codec.UUID) {
			id.Hi = rapid.Uint64Range(0, 1).Draw(t, "part") << 56
			id.Hi |= rapid.Uint64Range(0, 20).Draw(t, "home") << 24
			id.Lo = rapid.Uint64Range(0, 3).Draw(t, "rest")
			return id
		})
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				s := &service{id: id.Draw(t, "id")}
				if model[s.id] == nil {
					r.add(s)
					model[s.id] = s
				}
			},
			"remove": func(t *rapid.T) {
				s := &service{id: id.Draw(t, "id")} // it may be there or not
				r.remove(s)
				delete(model, s.id)
			},
			"": func(t *rapid.T) {
				if want := id.Draw(t, "id"); r.find(want) != model[want] {
					t.Fatalf("%v: %p, want %p", want, r.find(want), model[want])
				}
				all := r.all()
				if len(all) != len(model) || r.count() != len(model) {
					t.Fatalf("%d listed, %d counted, want %d", len(all), r.count(), len(model))
				}
				for _, s := range all {
					if model[s.id] != s {
						t.Fatalf("%v is listed", s.id)
					}
				}
				for i := range r.parts {
					p := &r.parts[i]
					if n := len(p.slots); 4*p.used > 3*n || n > smallestPart && 8*p.used < n {
						t.Fatalf("a part of %d slots holds %d", n, p.used)
					}
				}
			},
		})
	})
}

// Loops add and remove at the same time.
func TestRegistryUnderLoad(t *testing.T) {
	var r registry
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			own := make([]*service, 1000)
			for i := range own {
				own[i] = &service{id: codec.NewUUID(random.Uint64(), random.Uint64())}
				r.add(own[i])
			}
			r.all()
			for i, s := range own {
				if r.find(s.id) != s {
					t.Error("a service is lost")
				}
				if i%2 == 0 {
					r.remove(s)
				}
			}
		})
	}
	all.Wait()
	if n := r.count(); n != 2000 || len(r.all()) != n {
		t.Errorf("%d services, %d listed", n, len(r.all()))
	}
}
