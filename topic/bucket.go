package topic

import "math/bits"

// bucketSize is the number of places for groups in a bucket. They lie side by side in the table's
// groups; what is known of them without looking there is in one word, the bucket's head.
const bucketSize = 7

// head says what a bucket holds. Its lower bytes are the tags of the groups in the seven places, 0
// where a place is free. The highest byte counts the groups that found the bucket full and went on
// to a later one; where it is 0 a search ends. At 255 it stays.
type head uint64

const (
	passedOne  head = 1 << 56
	passedMost head = 255 << 56
	everyPlace head = 0x0001_0101_0101_0101
)

// tag returns the byte that stands for a key in a head. In one lookup of 40 or so another group of
// the bucket has the same, and is looked at in vain.
func (k key) tag() head { return head(max(k>>8&255, 1)) }

// having returns a bit for each place with that tag, the highest of its byte.
func (h head) having(tag head) head {
	const low = 127 * everyPlace
	h ^= tag * everyPlace // 0 where the tag was
	return ^(h&low + low | h) & (everyPlace << 7)
}

// place returns the first of the places that having returned.
func (h head) place() int { return bits.TrailingZeros64(uint64(h)) / 8 }
