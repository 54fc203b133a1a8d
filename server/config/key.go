package config

import "math"

// kind says how a key's value is written, parsed and printed.
type kind uint8

const (
	kindInt    kind = iota // decimal number
	kindBytes              // number of bytes, or number with a unit (64KiB, 4MiB, 1GB)
	kindMillis             // number of milliseconds, or a Go duration (1m30s)
	kindSecond             // number of seconds, or a Go duration
	kindBool
	kindString
	kindEnum
	kindLevel // slog level by name
	kindRates // topic pattern to messages per second
	kindList  // texts, each brought to the form that element gives it
	kindEach  // a word for all listeners, or a map of listener to word
	kindTree  // with parts: a list, or a map of names the operator chooses
)

// Key is one row of the table: everything there is to know about one configuration key.
type Key struct {
	Name    string // as in the file and in --set
	Env     string // environment variable, "" when there is none
	Flag    string // flag without its dashes, "" when only --set reaches it
	Unit    string // of a plain number, "" when it has none
	Default string // as an operator would write it; "" with kindBytes = computed from the machine
	Doc     string // one line for --help and the documentation

	Pending bool // accepted and checked, but without effect in this version
	Live    bool // a change takes effect when the configuration is read again

	kind     kind
	min, max int64    // bounds of numbers (bytes, milliseconds, seconds); inclusive
	values   []string // of kindEnum, kindLevel and kindEach; of kindMillis: the word for Auto
	at       func(*Config) any

	element func(string) (string, error) // of kindList: the canonical form of one
}

const (
	maxPort  = 65535
	maxCount = 10_000_000
	maxRate  = 1_000_000_000
	maxBytes = 1 << 30
	maxMs    = math.MaxInt32 // 24.8 days

	// maxList is how many elements a list may have: those of proxy.trusted are looked at one by
	// one.
	maxList = 256

	// maxDeflate is how many bytes a loop compresses within two milliseconds or so.
	maxDeflate = 1 << 20

	// maxSubscriptions is how many subscriptions of one connection a loop copies within a
	// millisecond or so, as it may have to.
	maxSubscriptions = 100_000
)

// memoryShare is the part of the machine's or container's memory that memory.limit takes by
// default, in percent.
const memoryShare = 75

// Keys returns the table in the order of the documentation. The rows are shared: read only.
func Keys() []Key { return keys }
