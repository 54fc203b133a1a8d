package backplane

import (
	"encoding/binary"
	"math"

	"mbserver/codec"
	"mbserver/server/abroad"
)

// kindCalls is a frame of requests, answers and what goes with them: its fields, in order, are
// those of one lane for one node. It has a number of that link and lane.
const kindCalls kind = 32

// Tags of its fields.
const (
	tagRequest = 32
	tagAnswer  = 33
	tagCancel  = 34 // the request's name
	tagGiven   = 35 // how much of its capacity a service has given away
	tagWait    = 36 // requests wait for a service of the receiver

	// In heartbeats, of another node.
	tagCallsReached = 37 // nested: lane and number, of frames of calls
	tagCallsMissed  = 38 // how often words of its with them may not have been taken
)

// Flags of a request, an answer, and a load.
const (
	callText = 1 << iota
	callOwed
	callStalled
	callLast
	callWaits
)

func flagOf(is bool, f byte) byte {
	if is {
		return f
	}
	return 0
}

// appendCallHead appends what stands before the calls of a frame, which begins with it.
func appendCallHead(b []byte, to, epoch, number uint64) []byte {
	b = appendNumber(begin(b, kindCalls), tagTo, to)
	return appendNumber(appendNumber(b, tagEpoch, epoch), tagFirst, number)
}

// callHead is what stands there.
type callHead struct{ to, epoch, number uint64 }

// parse reads it, and returns the fields that follow.
func (h *callHead) parse(b []byte) (calls []byte, err error) {
	for {
		tag, value, rest, err := next(b)
		switch tag {
		case tagTo:
			err = numberInto(&h.to, value)
		case tagEpoch:
			err = numberInto(&h.epoch, value)
		case tagFirst:
			err = numberInto(&h.number, value)
		default:
			return b, err
		}
		if err != nil {
			return nil, err
		}
		b = rest
	}
}

// requestMost is more than the fixed parts of a request's field take, in bytes; those of the others
// take less.
const requestMost = fieldSize + 1 + 3*uuidSize + 3*binary.MaxVarintLen64

// appendRequest appends a request's field.
func appendRequest(b []byte, q *abroad.Request) []byte {
	var head [1 + 3*uuidSize + 3*binary.MaxVarintLen64]byte
	h := append(head[:0], flagOf(q.Text, callText)|flagOf(q.Owed, callOwed))
	h = appendUUID(appendUUID(appendUUID(h, q.Ref), q.Service), q.Requester)
	h = binary.AppendUvarint(h, uint64(max(q.Left, 0)))
	h = binary.AppendUvarint(h, uint64(len(q.Topic)))
	h = binary.AppendUvarint(h, uint64(len(q.Version)))
	size := len(h) + len(q.Topic) + len(q.Version) + len(q.Payload)
	b = binary.AppendUvarint(binary.AppendUvarint(b, tagRequest), uint64(size))
	b = append(append(append(b, h...), q.Topic...), q.Version...)
	return append(b, q.Payload...)
}

// leftMost is the longest time that a request may have, in ms: what fits where it is added to a
// clock.
const leftMost = math.MaxInt32

// readRequest is the inverse. q aliases the value.
func readRequest(q *abroad.Request, value []byte) error {
	if len(value) < 1+3*uuidSize {
		return errValue
	}
	q.Text, q.Owed = value[0]&callText != 0, value[0]&callOwed != 0
	value = value[1:]
	q.Ref, q.Service, q.Requester = uuidOf(value), uuidOf(value[uuidSize:]),
		uuidOf(value[2*uuidSize:])
	value = value[3*uuidSize:]
	var numbers [3]uint64
	for i := range numbers {
		v, n := binary.Uvarint(value)
		if n <= 0 || v > leftMost {
			return errValue
		}
		numbers[i], value = v, value[n:]
	}
	q.Left = int64(numbers[0])
	topic, version := numbers[1], numbers[2]
	if topic+version > uint64(len(value)) {
		return errValue
	}
	q.Topic, q.Version, q.Payload = value[:topic:topic],
		value[topic:topic+version:topic+version], value[topic+version:]
	return nil
}

// appendAnswer appends an answer's field.
func appendAnswer(b []byte, a *abroad.Answer) []byte {
	size := 3 + uuidSize + len(a.Code) + len(a.Payload)
	b = binary.AppendUvarint(binary.AppendUvarint(b, tagAnswer), uint64(size))
	b = appendUUID(append(b, byte(a.Outcome), flagOf(a.Text, callText)), a.Ref)
	b = append(append(b, byte(len(a.Code))), a.Code...)
	return append(b, a.Payload...)
}

// codeOf is a failure's code: those of later versions are read as the usual one.
func codeOf(text []byte) codec.Code {
	switch string(text) {
	case string(codec.Timeout):
		return codec.Timeout
	case string(codec.Forbidden):
		return codec.Forbidden
	case string(codec.NoRouteFound):
		return codec.NoRouteFound
	case string(codec.InternalError):
		return codec.InternalError
	}
	return codec.ServiceUnavailable
}

// readAnswer is the inverse. a aliases the value.
func readAnswer(a *abroad.Answer, value []byte) error {
	if len(value) < 3+uuidSize || value[0] > byte(abroad.Busy) {
		return errValue
	}
	a.Outcome, a.Text = abroad.Outcome(value[0]), value[1]&callText != 0
	a.Ref, value = uuidOf(value[2:]), value[2+uuidSize:]
	n := int(value[0])
	if len(value) < 1+n {
		return errValue
	}
	a.Code, a.Payload = "", value[1+n:]
	if a.Outcome == abroad.Failed {
		a.Code = codeOf(value[1 : 1+n])
	}
	return nil
}

// appendCancel appends the field that takes a request back.
func appendCancel(b []byte, ref codec.UUID) []byte {
	return appendUUID(binary.AppendUvarint(binary.AppendUvarint(b, tagCancel), uuidSize), ref)
}

// appendLoad appends the field of a load.
func appendLoad(b []byte, l abroad.Load) []byte {
	var v [1 + uuidSize + binary.MaxVarintLen64]byte
	flags := flagOf(l.Stalled, callStalled) | flagOf(l.Last, callLast)
	h := appendUUID(append(v[:0], flags), l.Service)
	return appendBytes(b, tagGiven, binary.AppendUvarint(h, uint64(max(l.Others, 0))))
}

// readLoad is the inverse.
func readLoad(value []byte) (l abroad.Load, err error) {
	if len(value) < 1+uuidSize {
		return l, errValue
	}
	l.Stalled, l.Last = value[0]&callStalled != 0, value[0]&callLast != 0
	l.Service = uuidOf(value[1:])
	n, err := number(value[1+uuidSize:])
	if n > math.MaxInt32 {
		return l, errValue
	}
	l.Others = int32(n)
	return l, err
}

// appendWait appends the field that says whether requests wait for a service.
func appendWait(b []byte, w abroad.Wait) []byte {
	b = append(binary.AppendUvarint(binary.AppendUvarint(b, tagWait), 1+uuidSize),
		flagOf(w.Waits, callWaits))
	return appendUUID(b, w.Service)
}

// readWait is the inverse.
func readWait(value []byte) (w abroad.Wait, err error) {
	if len(value) != 1+uuidSize {
		return w, errValue
	}
	return abroad.Wait{Service: uuidOf(value[1:]), Waits: value[0]&callWaits != 0}, nil
}
