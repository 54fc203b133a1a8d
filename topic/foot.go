package topic

import "sync/atomic"

// feet count changes of subscriptions by the names that they may bear on: those of a pattern by
// what it has before its first wildcard, and whether it has one. So a name has one place for
// patterns that are the name, and one for those with a wildcard behind each number of its levels;
// as long as none of these has changed, nothing has that matters to it, but for what was outdated
// altogether. Places are shared, which costs a look-up now and then.
//
// They are looked at only where the shards' versions have changed (Cache): a thousand patterns of
// the same first level that come and go cost the others' names some ten nanoseconds each.
type feet [1 << footBits]atomic.Uint64

const footBits = 12

// footOf is the place of patterns that have this hash before their first wildcard.
func footOf(lead uint64, wild bool, k Kind) uint16 {
	lead ^= factors[k]
	if wild {
		lead ^= factors[kinds]
	}
	return uint16(lead * factors[0] >> (64 - footBits))
}

// stand is where a name stands among the feet, and how many changes there had been.
type stand struct {
	places [MaxLevels + 2]uint16
	count  uint8
	sum    uint64
}

// standOf is that of a name.
func standOf(name []byte, k Kind) (s stand) {
	var l levels
	l.split(name)
	for i := range l.count + 1 {
		s.places[i] = footOf(l.prefix[i], true, k)
	}
	s.places[l.count+1] = footOf(l.prefix[l.count], false, k)
	s.count = uint8(l.count + 2)
	return s
}

// sum is how many changes there were that may bear on a name.
func (t *Trie[S]) sum(s *stand) uint64 {
	n := t.epoch.Load()
	for _, place := range s.places[:s.count] {
		n += t.feet[place].Load()
	}
	return n
}
