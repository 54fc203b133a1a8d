package topic

// probe is a lookup that has begun: the home's head has been read, and nothing waits for it yet. A
// processor reads the heads of several probes at once, but not when what it does next depends on
// what it finds in each.
type probe[S comparable] struct {
	table *table[S] // without parts, not empty
	key   key
	first head // the home's
}

// group ends the lookup. It returns the group whose pattern has the key and matches name, or nil.
func (p *probe[S]) group(name []byte) *group[S] {
	t, h := p.table, p.first
	i := t.home(p.key)
	for range t.heads {
		for at := h.having(p.key.tag()); at != 0; at &= at - 1 {
			g := &t.groups[i*bucketSize+at.place()]
			// A pattern of another form may match too, and is not the one.
			if g.form == p.key.form() && (g.is(name) || g.matches(name)) {
				return g
			}
		}
		if h < passedOne {
			break
		}
		i = t.next(i)
		h = t.heads[i]
	}
	return nil
}
