package backplane

import (
	"strconv"
	"strings"
)

// Bus carries frames between nodes. Frames that one lane sends to one subject arrive in the order
// in which they were sent, or do not arrive. Any goroutine, but for Send.
type Bus interface {
	// Send hands a frame over, and does not keep it. It may block; an error says that it was not
	// taken, nil not that it arrives. One goroutine at a time for each lane.
	Send(lane int, subject string, frame []byte) error
	// Listen has f called with each frame of those subjects, in the order in which the bus brings
	// them, by one goroutine, until Close. f may keep the frame.
	Listen(subjects []string, f func(subject string, frame []byte)) error
	// Close ends all of it. What was handed over is sent before.
	Close()
}

// Holder is a bus that keeps what it has brought until it is taken.
type Holder interface {
	// Pending is how many bytes that are. Any goroutine.
	Pending() int64
}

// control is the lane of what all hear. Those of publishes are numbered as the loops are; a loop's
// lane for requests and answers has the number of all loops more, on the bus. In subjects, whose
// sender may have more loops than this node, it is callLanes more.
const (
	control   = -1
	callLanes = lanesMost
)

// all stands for the name of a node in the subject of what every node is to hear.
const all = "all"

// Subjects: mb.v1.<cluster>.<from>.<incarnation>.<to>.ctl, or .pub.<lane> or .req.<lane> at the
// end. Each part is a token of its own, so that a NATS account may say who may be whom.

// prefix is what subjects of a cluster begin with.
func prefix(cluster string) string { return "mb.v1." + cluster + "." }

// from is what subjects of what a node sends begin with.
func from(cluster, node string, inc uint64) string {
	return prefix(cluster) + node + "." + strconv.FormatUint(inc, 16) + "."
}

// sender reads who has sent to a subject. lane is control, a publish lane, or callLanes and one for
// requests.
func sender(subject, prefix string) (node string, inc uint64, lane int, ok bool) {
	rest, ok := strings.CutPrefix(subject, prefix)
	if !ok {
		return "", 0, 0, false
	}
	node, rest, _ = strings.Cut(rest, ".")
	text, rest, _ := strings.Cut(rest, ".")
	inc, err := strconv.ParseUint(text, 16, 64)
	_, rest, _ = strings.Cut(rest, ".") // to
	if err != nil || !ValidName(node) {
		return "", 0, 0, false
	}
	if rest == "ctl" {
		return node, inc, control, true
	}
	number, ok := strings.CutPrefix(rest, "pub.")
	base := 0
	if !ok {
		number, ok = strings.CutPrefix(rest, "req.")
		base = callLanes
	}
	lane, err = strconv.Atoi(number)
	return node, inc, base + lane, ok && err == nil && lane >= 0 && lane < lanesMost
}

// ValidName says whether a cluster or a node may have that name: 1 to 63 letters, digits, _ and -.
func ValidName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '_' || c == '-') {
			return false
		}
	}
	return len(name) > 0 && len(name) <= 63 && name != all
}
