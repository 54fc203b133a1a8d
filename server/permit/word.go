package permit

import (
	"fmt"
	"slices"
	"strings"
)

// Words are what may be permitted of the system topics, as a set.
type Words uint16

// The words of protocol §10.
const (
	ServiceList Words = 1 << iota // who is connected
	TopicList                     // who subscribes to what
	Metrics                       // the node's counts
	Log                           // the node's log
	Message                       // the audit, of topics that the holder may use
	Connection                    // addresses, identities, backlogs; the nodes
	Explain                       // what became of a message
	Admin                         // actions on the node, and what others may do

	AllWords Words = 1<<iota - 1
)

var wordNames = []string{
	"service.list", "topic.list", "metrics", "log", "message", "connection", "explain", "admin",
}

// Names are the words of a set as the configuration writes them.
func (w Words) Names() (names []string) {
	for i, name := range wordNames {
		if w&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// parseWords reads a role's words; "*" is all of them.
func parseWords(words []string) (set Words, err error) {
	for _, w := range words {
		if w == "*" {
			set = AllWords
			continue
		}
		i := slices.Index(wordNames, w)
		if i < 0 {
			return 0, fmt.Errorf("%q is none of %s, *", w, strings.Join(wordNames, ", "))
		}
		set |= 1 << i
	}
	return set, nil
}
