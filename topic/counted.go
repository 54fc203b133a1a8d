package topic

// Counted is how many messages there were on a name.
type Counted struct {
	Name  string // canonical
	Count uint64
}

// Count counts a message on the name looked up last, by Lookup, Fresh or Renew. It costs an
// addition.
func (c *Cache[S, R]) Count() { c.entries[c.last].count++ }

// TakeCounts appends to dst the names with messages that were counted since they were taken last,
// and how many, as many as dst has room for: it looks at n names from a position on, 0 the first,
// and returns the position to go on from, 0 when it has looked at all. What comes meanwhile is told
// then or the next time.
func (c *Cache[S, R]) TakeCounts(dst []Counted, from, n int) (counts []Counted, next int) {
	for ; from < len(c.entries); from++ {
		if n--; n < 0 || len(dst) == cap(dst) {
			return dst, from
		}
		if e := &c.entries[from]; e.count > 0 {
			dst = append(dst, Counted{Name: e.name, Count: e.count})
			e.count = 0
		}
	}
	return dst, 0
}

// TakeForgotten returns how many messages were counted, and not taken before their names gave way
// to others, since it was called last.
func (c *Cache[S, R]) TakeForgotten() (n uint64) {
	n, c.forgotten = c.forgotten, 0
	return n
}
