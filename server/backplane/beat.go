package backplane

import "encoding/binary"

// beat is a heartbeat: what a node says of itself to all, and of each other node it knows.
type beat struct {
	formLeast, formMost uint64
	server, id          string
	draining            bool
	connections         uint64

	version, hash, count uint64 // of its interest: all deltas up to here were sent before
	time                 uint64 // ns of its clock
	keeps                uint64 // bytes of what each lane has sent, for repair
	nodes                []beatNode
}

// beatNode is what a node says of another one.
type beatNode struct {
	name    string
	inc     uint64
	holds   bool   // its interest stands there,
	version uint64 // at this version
	echo    uint64 // the time that it was told last; 0: none
	held    uint64 // ns since
	epoch   uint64
	reached []uint64 // by lane: the number after that of the last publish for it
	calls   []uint64 // the same of frames of requests and answers
	missed  uint64   // how often what it has said with those may not be known
}

// lanesMost is how many lanes a node may have: as many as loops.
const lanesMost = 1024

func (m *beat) append(b []byte) []byte {
	b = begin(b, kindBeat)
	var forms [2 * binary.MaxVarintLen64]byte
	n := len(binary.AppendUvarint(binary.AppendUvarint(forms[:0], m.formLeast), m.formMost))
	b = appendBytes(b, tagProtocol, forms[:n])
	b = appendBytes(b, tagServer, m.server)
	b = appendBytes(b, tagID, m.id)
	if m.draining {
		b = appendNumber(b, tagDraining, 1)
	}
	b = appendNumber(b, tagLoad, m.connections)
	b = appendNumber(b, tagVersion, m.version)
	b = appendNumber(b, tagHash, m.hash)
	b = appendNumber(b, tagCount, m.count)
	b = appendNumber(b, tagTime, m.time)
	if m.keeps > 0 {
		b = appendNumber(b, tagKeeps, m.keeps)
	}
	var node []byte
	for i := range m.nodes {
		node = m.nodes[i].append(node[:0])
		b = appendBytes(b, tagNode, node)
	}
	return b
}

func (n *beatNode) append(b []byte) []byte {
	b = appendBytes(b, tagName, n.name)
	b = appendNumber(b, tagInc, n.inc)
	if n.holds {
		b = appendNumber(b, tagHolds, 1)
		b = appendNumber(b, tagVersion, n.version)
	}
	b = appendNumber(b, tagEcho, n.echo)
	b = appendNumber(b, tagHeld, n.held)
	b = appendNumber(b, tagEpoch, n.epoch)
	b = appendReached(appendReached(b, tagReached, n.reached), tagCallsReached, n.calls)
	if n.missed > 0 {
		b = appendNumber(b, tagCallsMissed, n.missed)
	}
	return b
}

// appendReached appends the numbers of lanes that have any.
func appendReached(b []byte, tag uint64, numbers []uint64) []byte {
	for lane, number := range numbers {
		if number == 0 {
			continue
		}
		var v [2 * binary.MaxVarintLen64]byte
		size := len(binary.AppendUvarint(binary.AppendUvarint(v[:0], uint64(lane)), number))
		b = appendBytes(b, tag, v[:size])
	}
	return b
}

// readReached is the inverse for one of them.
func readReached(numbers []uint64, value []byte) ([]uint64, error) {
	lane, number, err := pair(value)
	if err != nil || lane >= lanesMost {
		return numbers, errValue
	}
	for uint64(len(numbers)) <= lane {
		numbers = append(numbers, 0)
	}
	numbers[lane] = number
	return numbers, nil
}

func (m *beat) parse(b []byte) error {
	return each(b, func(tag uint64, value []byte) (err error) {
		switch tag {
		case tagProtocol:
			m.formLeast, m.formMost, err = pair(value)
		case tagServer:
			m.server = shortText(value)
		case tagID:
			m.id = shortText(value)
		case tagDraining:
			m.draining = true
		case tagLoad:
			err = numberInto(&m.connections, value)
		case tagVersion:
			err = numberInto(&m.version, value)
		case tagHash:
			err = numberInto(&m.hash, value)
		case tagCount:
			err = numberInto(&m.count, value)
		case tagTime:
			err = numberInto(&m.time, value)
		case tagKeeps:
			err = numberInto(&m.keeps, value)
		case tagNode:
			if len(m.nodes) >= knownMost {
				return errValue
			}
			var n beatNode
			err = n.parse(value)
			m.nodes = append(m.nodes, n)
		}
		return err
	})
}

func (n *beatNode) parse(b []byte) error {
	return each(b, func(tag uint64, value []byte) (err error) {
		switch tag {
		case tagName:
			n.name = string(value)
		case tagInc:
			err = numberInto(&n.inc, value)
		case tagHolds:
			n.holds = true
		case tagVersion:
			err = numberInto(&n.version, value)
		case tagEcho:
			err = numberInto(&n.echo, value)
		case tagHeld:
			err = numberInto(&n.held, value)
		case tagEpoch:
			err = numberInto(&n.epoch, value)
		case tagReached:
			n.reached, err = readReached(n.reached, value)
		case tagCallsReached:
			n.calls, err = readReached(n.calls, value)
		case tagCallsMissed:
			err = numberInto(&n.missed, value)
		}
		return err
	})
}

// textMost is how much is kept of a text of a heartbeat, in bytes, for as long as a node is known.
const textMost = 128

func shortText(value []byte) string { return string(value[:min(len(value), textMost)]) }

// pair reads two uvarints.
func pair(value []byte) (a, b uint64, err error) {
	a, n := binary.Uvarint(value)
	if n <= 0 {
		return 0, 0, errValue
	}
	b, err = number(value[n:])
	return a, b, err
}
