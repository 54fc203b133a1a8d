package trouble

import "testing"

// A spell begins with its first sign, goes on as long as no Gap is without one, and stands for a
// Gap after the last one.
func TestSpell(t *testing.T) {
	var s Spell
	if s.Last(5000).Stands(5000) {
		t.Error("there is one at first")
	}
	if !s.Note(1000) || s.Note(1000+Gap) || s.Note(1000+2*Gap) {
		t.Error("it does not begin once")
	}
	last := int64(1000 + 2*Gap)
	got := s.Last(last + Gap)
	if want := (Times{Since: 1000, Last: last, Count: 3}); got != want || !got.Stands(last+Gap) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got.Stands(last + Gap + 1) {
		t.Error("it does not end")
	}
	if !s.Note(last + Gap + 1) {
		t.Error("no other begins")
	}
}

// What goes on stands until it is ended, and what begins again within Gap has gone on.
func TestSpellGoesOn(t *testing.T) {
	var s Spell
	s.End(1) // nothing
	if !s.Begin(0) || s.Begin(10) {
		t.Error("it does not begin once")
	}
	if got := s.Last(100 * Gap); !got.Stands(100*Gap) || !got.On || got.Last != 100*Gap {
		t.Errorf("%+v", got)
	}
	s.End(200 * Gap)
	if s.Begin(201 * Gap); s.Last(201*Gap).Since != 1 {
		t.Error("a pause has ended it")
	}
	s.End(202 * Gap)
	if got := s.Last(203*Gap + 1); got.Stands(203*Gap+1) || got.Count != 2 {
		t.Errorf("%+v", got)
	}
	if !s.Begin(203*Gap + 1) {
		t.Error("no other begins")
	}
}

// What blinks is no trouble yet.
func TestSpellLasts(t *testing.T) {
	for last, want := range map[int64]bool{1: false, Lasting: false, 1 + Lasting: true} {
		if got := (Times{Since: 1, Last: last}).Lasts(); got != want {
			t.Errorf("until %d: %v", last, got)
		}
	}
	a, b := Times{Since: 5, Last: 9, Count: 1}, Times{Since: 3, Last: 7, Count: 2, On: true}
	if got, want := a.Join(b), (Times{Since: 3, Last: 9, Count: 3, On: true}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if a.Join(Times{}) != a || (Times{}).Join(a) != a {
		t.Error("nothing is something")
	}
}

// Causes that were not named are nobody's.
func TestSpells(t *testing.T) {
	var s Spells
	s.Note("a", 1)
	s.Name([]string{"a", "b"})
	s.Note("b", 1)
	s.Note("b", 2)
	s.Note("c", 2)
	told := 0
	s.Each(3, func(cause string, got Times) {
		if told++; cause != "b" || got.Count != 2 {
			t.Errorf("%s %+v", cause, got)
		}
	})
	if told != 1 {
		t.Errorf("%d stand", told)
	}
}

// The worst is first, of these the oldest.
func TestReportOrder(t *testing.T) {
	var r Report
	for _, one := range []Trouble{
		{Kind: LimitedClient, Severity: Notice, Since: 1, Subject: Subject{ID: "d"}},
		{Kind: SlowSubscriber, Severity: Warning, Since: 3, Subject: Subject{ID: "c"}},
		{Kind: Fault, Severity: Critical, Since: 9, Subject: Subject{ID: "a"}},
		{Kind: SlowSubscriber, Severity: Warning, Since: 2, Subject: Subject{ID: "b"}},
	} {
		r.Add(one)
	}
	r.Sort()
	order := ""
	for _, one := range r.Troubles {
		order += one.ID
	}
	if order != "abcd" || r.Counts[SlowSubscriber] != 2 {
		t.Errorf("%s, %d", order, r.Counts[SlowSubscriber])
	}
}

// Each kind has a name of its own by which it is found, and something to say.
func TestKinds(t *testing.T) {
	for k := range Kinds {
		got, ok := KindOf(k.String())
		if !ok || got != k || k.Advice() == "" || k.Anchor() == "" || k.Severity().String() == "" {
			t.Errorf("%d: %q is %d", k, k, got)
		}
	}
	if _, ok := KindOf("nothing"); ok {
		t.Error("nothing is a kind")
	}
}
