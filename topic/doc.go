// Package topic holds topic names, subscription patterns and the shared subscription trie
// (protocol §2, §3).
//
// A name is one to five levels joined by dots; its canonical form is lower case. A pattern is a
// name in which a level may be "+" (exactly one level) and the last one "#" (zero or more levels).
// Wildcards never match a name whose first level is "system".
//
// Reading order: name.go (the grammar), pattern.go (patterns and the naive matcher), shape.go (how
// a name finds the patterns that match it), group.go (a pattern and its subscribers), bucket.go and
// table.go (where groups are kept), probe.go (how they are found there), shard.go (one lock's worth
// of patterns), found.go (one copy for each subscriber), trie.go (the whole), cache.go, built.go
// and foot.go (what an event loop keeps of it).
//
// The trie is sharded by first level; patterns that begin with a wildcard have a shard of their
// own. So a name can match in two shards only, and the two shards' versions tell whether an earlier
// answer still stands.
//
// Matches are deterministic for a given history of calls: their order depends neither on Go's map
// iteration nor on the hashes' random key. Only that of Walk does.
package topic
