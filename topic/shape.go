package topic

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"strings"
)

// A pattern's shape is the number of its levels before "#", which of them are "+", and whether "#"
// follows. The patterns of one shape that match a name are at most one: the name's own levels with
// "+" at the shape's places. So matching is one hash lookup for each shape that occurs, of which
// there are 93 at the very most and few in practice, and a lookup that finds nothing mostly reads
// one word. That is less memory and fewer cache misses than walking a trie, where each level of
// each branch costs several.
type shape struct {
	count int  // levels before "#"
	plus  int  // bit i: level i is "+"
	below bool // "#" follows
}

// seed keys the hashes, so that nobody can choose patterns that collide. No order but Walk's
// depends on it.
var seed = maphash.MakeSeed()

// Odd factors, one for each level, so that equal levels in different places have different hashes.
var factors = [MaxLevels]uint64{
	0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9, 0xd6e8feb86659fd93,
	0xff51afd7ed558ccd,
}

// plusHash and belowHash stand for "+" at each level and "#" after each number of levels.
var plusHash, belowHash = func() (plus, below [MaxLevels]uint64) {
	for i := range MaxLevels {
		plus[i] = levelHash(i, "+")
		below[i] = levelHash(i, "#")
	}
	return plus, below
}()

func levelHash(i int, level string) uint64 { return spread(maphash.String(seed, level), i) }

// spread makes a level's hash one of the level at place i.
func spread(hash uint64, i int) uint64 {
	high, low := bits.Mul64(hash, factors[i])
	return high ^ low
}

// key is what a pattern is looked up by: the exclusive or of the hashes of its levels, but for the
// lowest byte, which is the form of its shape.
type key uint64

func (sh shape) key(hash uint64) key { return key(hash&^255 | uint64(sh.form())) }

func (k key) form() form { return form(k) }

// analyse returns a pattern's shape and key, and the hash of its levels before the first wildcard.
func analyse(pattern string) (sh shape, k key, lead uint64) {
	var hash uint64
	for more := true; more; {
		level, end := pattern, strings.IndexByte(pattern, '.')
		if more = end >= 0; more {
			level, pattern = pattern[:end], pattern[end+1:]
		}
		switch level {
		case "#":
			sh.below = true
			return sh, sh.key(hash ^ belowHash[sh.count]), lead
		case "+":
			hash ^= plusHash[sh.count]
			sh.plus |= 1 << sh.count
		default:
			hash ^= levelHash(sh.count, level)
			if sh.plus == 0 {
				lead = hash
			}
		}
		sh.count++
	}
	return sh, sh.key(hash), lead
}

// levels is a name taken apart, once for both shards.
type levels struct {
	name  []byte
	count int
	// differ[i] is what changes in the hash when level i is replaced by "+"; prefix[i] is the hash
	// of the first i levels.
	differ [MaxLevels]uint64
	prefix [MaxLevels + 1]uint64
}

// split takes a canonical name apart. A name of more than five levels, or none,
// has a count of zero.
func (l *levels) split(name []byte) {
	l.name = name
	for rest, n := name, 0; n < MaxLevels; n++ {
		level := rest
		end := bytes.IndexByte(rest, '.')
		if end >= 0 {
			level, rest = rest[:end], rest[end+1:]
		}
		hash := spread(maphash.Bytes(seed, level), n)
		l.differ[n] = hash ^ plusHash[n]
		l.prefix[n+1] = l.prefix[n] ^ hash
		if end < 0 {
			l.count = n + 1
			return
		}
	}
}

// shapes counts the patterns of each shape in a shard and knows which occur.
// Guarded by the shard's lock.
type shapes struct {
	// By count: bit p says that patterns without "#" whose "+" are p occur; likewise with "#".
	ends   [MaxLevels + 1]uint32
	belows [MaxLevels]uint32

	number [1 + shapeCount]int32 // patterns, by form
}

// shapeCount is the number of shapes: 2^1+…+2^5 without "#" and 2^0+…+2^4 with it.
const shapeCount = 62 + 31

// form is a shape as a number from 1 to shapeCount; 0 is none.
type form uint8

func (sh shape) form() form {
	if sh.below {
		return form(62 + 1<<sh.count + sh.plus)
	}
	return form(1<<sh.count - 1 + sh.plus)
}

// change adds by to the number of patterns of a shape.
func (s *shapes) change(sh shape, by int32) {
	present := &s.ends[sh.count]
	if sh.below {
		present = &s.belows[sh.count]
	}
	number := &s.number[sh.form()]
	*number += by
	if *number == 0 {
		*present &^= 1 << sh.plus
	} else {
		*present |= 1 << sh.plus
	}
}

// key returns the key of the one pattern of a shape that the name can match.
func (l *levels) key(sh shape) key {
	hash := l.prefix[sh.count]
	for plus := uint32(sh.plus); plus != 0; plus &= plus - 1 {
		hash ^= l.differ[bits.TrailingZeros32(plus)]
	}
	if sh.below {
		hash ^= belowHash[sh.count]
	}
	return sh.key(hash)
}
