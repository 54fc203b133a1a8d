package backplane

import "encoding/binary"

// kind says what a frame is. It is its first field.
type kind uint64

const (
	kindBeat     kind = iota + 1 // a heartbeat, to all (beat.go)
	kindDelta                    // changes of interest, to all
	kindSnapshot                 // a part of all interest, to who asked
	kindAsk                      // asks for a snapshot
	kindConfirm                  // a version of the receiver's interest stands here
	kindBatch                    // publishes
	kindReceipts                 // what became of publishes whose publishers wait for word
	kindLeave                    // the node goes away, to all
)

// frameMost is how many bytes a frame is filled to; one publish may make it larger.
const frameMost = 64 << 10

// Tags of fields. A tag means the same in every frame.
const (
	tagKind     = 1
	tagTo       = 2 // the receiver's incarnation
	tagVersion  = 3 // of interest: of a delta, that of its first change
	tagHash     = 4
	tagAdd      = 5 // an entry (entry.go)
	tagRemove   = 6
	tagPart     = 7 // of a snapshot, from 0
	tagLast     = 8 // it is the last part
	tagEpoch    = 9 // of a link
	tagFirst    = 10
	tagPublish  = 11
	tagReceipt  = 12
	tagCount    = 13 // of entries
	tagName     = 14 // of a node
	tagNode     = 15 // nested: what a heartbeat says of another node
	tagReached  = 16 // nested: lane and number
	tagTime     = 17 // ns of the sender's clock
	tagEcho     = 18 // ns of the receiver's clock, as it was told last
	tagHeld     = 19 // ns since
	tagHolds    = 20 // the receiver's interest stands here, at tagVersion
	tagProtocol = 21 // least and greatest form
	tagServer   = 22 // version of the program
	tagID       = 23 // the node's, as clients are told it
	tagDraining = 24
	tagLoad     = 25 // connections
	tagInc      = 26 // an incarnation
)

// begin begins a frame.
func begin(b []byte, k kind) []byte {
	return appendNumber(append(b, form), tagKind, uint64(k))
}

// open reads what a frame is, and returns its other fields.
func open(b []byte) (k kind, fields []byte, err error) {
	if len(b) == 0 || b[0] != form {
		return 0, nil, errForm
	}
	tag, value, rest, err := next(b[1:])
	if err != nil {
		return 0, nil, err
	}
	if tag != tagKind {
		return 0, nil, errValue
	}
	v, err := number(value)
	return kind(v), rest, err
}

// change is one change of interest: an entry has come, or gone.
type change struct {
	entry string
	gone  bool
}

// delta is changes of interest in order, of which the first made the version first.
type delta struct {
	first   uint64
	changes []change
}

// append appends a frame of it.
func (d *delta) append(b []byte) []byte {
	b = appendNumber(begin(b, kindDelta), tagVersion, d.first)
	for _, c := range d.changes {
		tag := uint64(tagAdd)
		if c.gone {
			tag = tagRemove
		}
		b = appendBytes(b, tag, c.entry)
	}
	return b
}

// parse reads it from a frame's fields. Its entries may be any texts; all share their memory.
func (d *delta) parse(b []byte) error {
	return eachText(b, func(tag uint64, value []byte, text string) error {
		switch tag {
		case tagVersion:
			return numberInto(&d.first, value)
		case tagAdd, tagRemove:
			d.changes = append(d.changes, change{text, tag == tagRemove})
		}
		return nil
	})
}

// snapshot is a part of all interest at one version.
type snapshot struct {
	to            uint64
	version, hash uint64
	part          uint64
	last          bool
	entries       []string // read: any texts, which share their memory
}

func (s *snapshot) append(b []byte) []byte {
	b = appendNumber(begin(b, kindSnapshot), tagTo, s.to)
	b = appendNumber(b, tagVersion, s.version)
	b = appendNumber(b, tagHash, s.hash)
	b = appendNumber(b, tagPart, s.part)
	if s.last {
		b = appendNumber(b, tagLast, 1)
	}
	for _, p := range s.entries {
		b = appendBytes(b, tagAdd, p)
	}
	return b
}

func (s *snapshot) parse(b []byte) error {
	return eachText(b, func(tag uint64, value []byte, text string) error {
		switch tag {
		case tagTo:
			return numberInto(&s.to, value)
		case tagVersion:
			return numberInto(&s.version, value)
		case tagHash:
			return numberInto(&s.hash, value)
		case tagPart:
			return numberInto(&s.part, value)
		case tagLast:
			s.last = true
		case tagAdd:
			s.entries = append(s.entries, text)
		}
		return nil
	})
}

// word is a frame with at most a receiver and a version: ask, confirm and leave.
type word struct{ to, version uint64 }

func (w *word) append(b []byte, k kind) []byte {
	return appendNumber(appendNumber(begin(b, k), tagTo, w.to), tagVersion, w.version)
}

func (w *word) parse(b []byte) error {
	return each(b, func(tag uint64, value []byte) error {
		switch tag {
		case tagTo:
			return numberInto(&w.to, value)
		case tagVersion:
			return numberInto(&w.version, value)
		}
		return nil
	})
}

// receipt says what became of a publish in another node.
type receipt struct {
	of                   uint64 // as its node named it
	subscribers, dropped uint64
}

func (r *receipt) append(b []byte) []byte {
	var v [8 + 2*binary.MaxVarintLen64]byte
	n := len(binary.AppendUvarint(binary.AppendUvarint(
		binary.LittleEndian.AppendUint64(v[:0], r.of), r.subscribers), r.dropped))
	return appendBytes(b, tagReceipt, v[:n])
}

func (r *receipt) parse(value []byte) error {
	if len(value) < 8 {
		return errValue
	}
	r.of = binary.LittleEndian.Uint64(value)
	var n, m int
	r.subscribers, n = binary.Uvarint(value[8:])
	if n > 0 {
		r.dropped, m = binary.Uvarint(value[8+n:])
	}
	const most = 1 << 31
	if n <= 0 || m <= 0 || 8+n+m != len(value) || r.subscribers > most || r.dropped > most {
		return errValue
	}
	return nil
}

// beginReceipts begins a frame of receipts; each is a field.
func beginReceipts(b []byte, to uint64) []byte {
	return appendNumber(begin(b, kindReceipts), tagTo, to)
}

// batch is what a frame of publishes says before them: they are the fields that follow.
type batch struct {
	to, epoch uint64
	first     uint64 // number of the first publish
	publishes []byte // fields, in order; only they are left
}

func (m *batch) append(b []byte) []byte {
	b = appendNumber(begin(b, kindBatch), tagTo, m.to)
	b = appendNumber(b, tagEpoch, m.epoch)
	return append(appendNumber(b, tagFirst, m.first), m.publishes...)
}

// parse reads what stands before the publishes.
func (m *batch) parse(b []byte) error {
	for {
		tag, value, rest, err := next(b)
		switch tag {
		case 0, tagPublish:
			m.publishes = b
		case tagTo:
			err = numberInto(&m.to, value)
		case tagEpoch:
			err = numberInto(&m.epoch, value)
		case tagFirst:
			err = numberInto(&m.first, value)
		}
		if err != nil || tag == 0 || tag == tagPublish {
			return err
		}
		b = rest
	}
}

// flagReceipt is a publish's whose node waits for word of it, under the number that follows.
const flagReceipt = 1

// publish is one publish of a batch.
type publish struct {
	receipt uint64 // 0: its node does not wait
	message []byte // header line and payload; aliases the frame
}

// appendPublish appends a publish's field, its message in two parts.
func appendPublish(b, header, payload []byte, receipt uint64) []byte {
	size := 1 + len(header) + len(payload)
	flags := byte(0)
	if receipt != 0 {
		flags |= flagReceipt
		size += 8
	}
	b = binary.AppendUvarint(b, tagPublish)
	b = append(binary.AppendUvarint(b, uint64(size)), flags)
	if receipt != 0 {
		b = binary.LittleEndian.AppendUint64(b, receipt)
	}
	return append(append(b, header...), payload...)
}

func (p *publish) parse(value []byte) error {
	if len(value) == 0 {
		return errValue
	}
	flags := value[0]
	value = value[1:]
	p.receipt = 0
	if flags&flagReceipt != 0 {
		if len(value) < 8 {
			return errValue
		}
		p.receipt, value = binary.LittleEndian.Uint64(value), value[8:]
	}
	p.message = value
	return nil
}
