package backplane

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A set of texts is what a map is that does the same.
func TestTexts(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var set texts
	model := make(map[string]bool) // to whether it is marked
	check := func() {
		t.Helper()
		all, marked := set.list(false), set.list(true)
		slices.Sort(all)
		slices.Sort(marked)
		var wantAll, wantMarked []string
		for text, is := range model {
			wantAll = append(wantAll, text)
			if is {
				wantMarked = append(wantMarked, text)
			}
		}
		slices.Sort(wantAll)
		slices.Sort(wantMarked)
		if set.count != len(model) || !slices.Equal(all, wantAll) ||
			!slices.Equal(marked, wantMarked) {
			t.Fatalf("%d texts, want %d; %d marked, want %d",
				len(all), len(wantAll), len(marked), len(wantMarked))
		}
	}
	for phase, most := range []int{3, 40, 5000, 5000, 100, 0, 700} {
		for range 20_000 {
			i := random.IntN(max(most, 1))
			text := fmt.Sprintf("a.b%d", i)
			if i%50 == 0 {
				text += strings.Repeat(".long", random.IntN(3)*1000)
			}
			_, is := model[text]
			if set.has(text) != is {
				t.Fatalf("phase %d: %q is there: %v", phase, text, !is)
			}
			switch {
			case !is && most > 0:
				set.add(text)
				model[text] = false
			case is && random.IntN(3) == 0 || most == 0:
				if set.remove(text) != is {
					t.Fatalf("phase %d: %q was removed: %v", phase, text, !is)
				}
				delete(model, text)
			case is:
				model[text] = false
			}
		}
		check()
		if most < 1000 {
			for text := range model {
				if random.IntN(10) > 0 {
					set.remove(text)
					delete(model, text)
				}
			}
			check()
		}
		if phase%2 == 0 {
			set.mark()
			for text := range model {
				model[text] = true
			}
			check()
		}
		held := 0
		for _, b := range set.blocks {
			held += cap(b)
		}
		if live := set.size - set.dead; held > 2*live+3*textBlock {
			t.Errorf("phase %d: %d bytes are held of %d", phase, held, live)
		}
	}
}
