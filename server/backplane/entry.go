package backplane

import (
	"encoding/binary"
	"math"

	"mbserver/codec"
	"mbserver/server/abroad"
	"mbserver/topic"
)

// What a node tells of itself is a set of entries, each a text: a pattern that somebody is
// subscribed to, a service that takes requests, or one offer of a service. A pattern has no control
// character, so that the first byte of the others says what they are.
const (
	offerMark   = 1
	serviceMark = 2
)

// Tags of the fields of a service's entry.
const (
	serviceID          = 1
	serviceCapacity    = 2
	serviceConnected   = 3
	serviceTransport   = 4
	serviceIdentity    = 5
	serviceName        = 6
	serviceDescription = 7
	serviceMetadata    = 8
)

// serviceMost is how long the entry of a service may be, in bytes: of one with more to say less is
// said.
const serviceMost = 16 << 10

// isService and isOffer say what an entry is; one that is neither, nor isForeign, is a pattern.
func isService(text string) bool { return len(text) > 0 && text[0] == serviceMark }
func isOffer(text string) bool   { return len(text) > 0 && text[0] == offerMark }

// isForeign: it is of a kind that a later version has. It is kept, because it counts for the hash
// and may be taken away, and means nothing here.
func isForeign(text string) bool {
	return len(text) > 0 && text[0] < ' ' && text[0] != offerMark && text[0] != serviceMark
}

func appendUUID(b []byte, id codec.UUID) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, id.Hi), id.Lo)
}

// uuidSize is how many bytes one takes.
const uuidSize = 16

func uuidOf(b []byte) codec.UUID {
	return codec.UUID{Hi: binary.BigEndian.Uint64(b), Lo: binary.BigEndian.Uint64(b[8:])}
}

// serviceEntry is the entry of a service.
func serviceEntry(s *abroad.Service) string {
	b := appendUUID(appendBytes([]byte{serviceMark}, serviceID, ""), s.ID)
	b[2] = uuidSize
	b = appendNumber(b, serviceCapacity, uint64(max(s.Capacity, 0)))
	b = appendNumber(b, serviceConnected, uint64(max(s.ConnectedAt, 0)))
	b = appendBytes(b, serviceTransport, s.Transport)
	for _, f := range []struct {
		tag  uint64
		text string
	}{
		{serviceIdentity, s.Identity}, {serviceName, s.Name},
		{serviceDescription, s.Description}, {serviceMetadata, string(s.Metadata)},
	} {
		if f.text != "" && len(b)+fieldSize+len(f.text) <= serviceMost {
			b = appendBytes(b, f.tag, f.text)
		}
	}
	return string(b)
}

// readService is the inverse of serviceEntry. It keeps nothing of the text's memory but texts.
func readService(text []byte) (*abroad.Service, error) {
	s := &abroad.Service{}
	identified := false
	if len(text) > serviceMost || len(text) == 0 || text[0] != serviceMark {
		return nil, errValue
	}
	err := each(text[1:], func(tag uint64, value []byte) (err error) {
		n := uint64(0)
		switch tag {
		case serviceID:
			if identified = len(value) == uuidSize; !identified {
				return errValue
			}
			s.ID = uuidOf(value)
		case serviceCapacity:
			if err = numberInto(&n, value); n > math.MaxInt32 {
				return errValue
			}
			s.Capacity = int32(n)
		case serviceConnected:
			if err = numberInto(&n, value); n > math.MaxInt64 {
				return errValue
			}
			s.ConnectedAt = int64(n)
		case serviceTransport:
			s.Transport = string(value)
		case serviceIdentity:
			s.Identity = string(value)
		case serviceName:
			s.Name = string(value)
		case serviceDescription:
			s.Description = string(value)
		case serviceMetadata:
			s.Metadata = append([]byte(nil), value...)
		}
		return err
	})
	if err == nil && !identified {
		err = errValue
	}
	return s, err
}

// offerHead is what stands before an offer's pattern, in bytes.
const offerHead = 1 + uuidSize + 8

// offerEntry is the entry of an offer.
func offerEntry(o abroad.Offer) string {
	b := appendUUID(append(make([]byte, 0, offerHead+len(o.Pattern)), offerMark), o.Service)
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(o.Priority))
	return string(append(b, o.Pattern...))
}

// readOffer is the inverse of offerEntry.
func readOffer(text []byte) (o abroad.Offer, p topic.Pattern, err error) {
	if len(text) < offerHead || text[0] != offerMark {
		return o, p, errValue
	}
	o.Service = uuidOf(text[1:])
	o.Priority = math.Float64frombits(binary.BigEndian.Uint64(text[1+uuidSize:]))
	if math.IsNaN(o.Priority) || math.IsInf(o.Priority, 0) {
		return o, p, errValue
	}
	p, err = readPattern(string(text[offerHead:]))
	o.Pattern = p.String()
	return o, p, err
}

// readPattern reads a pattern, which is in its canonical form, and of user topics.
func readPattern(text string) (topic.Pattern, error) {
	p, err := topic.ParseCanonical(text)
	if err != nil || p.System() {
		return topic.Pattern{}, errValue
	}
	return p, nil
}
