package broker

import "mbserver/codec"

// headerLine composes a header line with an ID, as text, in the loop's header scratch.
func (l *Loop) headerLine(action codec.Action, topic, version, id []byte) []byte {
	return l.headerEnd(append(l.headerStart(action, topic, version), id...))
}

// freshHeader is headerLine with an ID of its own.
func (l *Loop) freshHeader(action codec.Action, topic, version []byte) []byte {
	return l.headerEnd(l.appendMessageID(l.headerStart(action, topic, version)))
}

// headerStart begins a header line in the loop's scratch for it; its ID is to be appended.
func (l *Loop) headerStart(action codec.Action, topic, version []byte) []byte {
	return append(codec.AppendStart(l.header[:0], action, topic, version), ':')
}

// headerEnd ends a header line that was begun in that scratch.
func (l *Loop) headerEnd(line []byte) []byte {
	l.header = append(line, '\n')
	return l.header
}

// responseHeader composes the header line of an answer; one to a message without a request ID gets
// a fresh one.
func (l *Loop) responseHeader(topic, version, id []byte) []byte {
	if len(id) == 0 {
		return l.freshHeader(codec.Response, topic, version)
	}
	return l.headerLine(codec.Response, topic, version, id)
}

// newID returns a fresh random UUIDv4.
func (l *Loop) newID() codec.UUID { return codec.NewUUID(l.random.Uint64(), l.random.Uint64()) }

// messageIDs makes the IDs of messages that only need to differ: UUIDv4s of which the last twelve
// digits are counted on, as text, from a random start, so that a message costs no random bits and
// mostly one digit. They are unique, and not secret. Loop only.
type messageIDs struct {
	text [36]byte
	left int // until the next start
}

// messageIDRun is how many IDs follow one start.
const messageIDRun = 1 << 16

// appendMessageID appends the next of them as text.
func (l *Loop) appendMessageID(dst []byte) []byte {
	m := &l.ids
	if m.left == 0 || !m.count() {
		codec.AppendUUID(m.text[:0], l.random.Uint64(), l.random.Uint64())
		m.left = messageIDRun
	}
	m.left--
	return append(dst, m.text[:]...)
}

// count goes on to the next ID; false: the digits are used up.
func (m *messageIDs) count() bool {
	for i := len(m.text) - 1; i >= len(m.text)-12; i-- {
		switch m.text[i] {
		case '9':
			m.text[i] = 'a'
			return true
		case 'f':
			m.text[i] = '0' // and one more in the digit before
		default:
			m.text[i]++
			return true
		}
	}
	return false
}
