package system

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mbserver/codec"
	"mbserver/topic"
)

// Operating is what a Caller has of who acts on others. Loop only, while Serve runs.
type Operating interface {
	// MayOperate says why the service may not act on others; nil: it may.
	MayOperate() *Error
	// Actor is who it is, for the log.
	Actor() Actor
	// Operate has an order carried out, and answers when it is; an error says that there is no such
	// service.
	Operate(o *Order) *Error
}

// Drainer sends a node's connections away while it goes on. Its methods may wait for a moment; any
// goroutine but a loop's.
type Drainer interface {
	// BeginDrain has connections leave, rate a second (0: as configured). An error says why not.
	BeginDrain(by Actor, rate int) error
	// EndDrain ends that: the node is ready again. An error says that there is none.
	EndDrain(by Actor) error
}

// Actor is who acts on others.
type Actor struct {
	Identity  string     // "": nobody in particular
	Remote    string     // address:port
	ServiceID codec.UUID // its own; zero when it is no service
}

// Deed is what can be done to a connection.
type Deed uint8

// The deeds. Each is a system topic, and a path of the admin listener.
const (
	Kick        Deed = iota // it is told why, and closed
	Mute                    // what it sends is refused for a time
	Unsubscribe             // subscriptions of it end, and it is told
)

var deedNames = [...]string{Kick: "kick", Mute: "mute", Unsubscribe: "unsubscribe"}

func (d Deed) String() string { return deedNames[d] }

// Order is a deed, and to whom.
type Order struct {
	Deed    Deed
	Of      codec.UUID
	Reason  string        // of Kick: what it is told in words; may be ""
	ForMs   int64         // of Mute; 0 ends one
	Pattern topic.Pattern // of Unsubscribe
	Kinds   []topic.Kind
}

// Bounds of an order (protocol §8).
const (
	reasonMax = 200 // characters
	muteMax   = 24 * time.Hour
)

// ParseOrder reads the payload of a request on a deed's system topic, which the admin listener
// takes too; there a member that means nothing is an error.
func ParseOrder(d Deed, payload []byte) (*Order, *Error) {
	c := call{fields: make(map[string]json.RawMessage)}
	if err := c.read(payload); err != nil {
		return nil, err
	}
	var err *Error
	eachMember(payload, func(escaped, _ []byte) {
		if name := nameOf(escaped); !slices.Contains(orderFields[d], name) {
			err = invalid(name, "means nothing here; "+strings.Join(orderFields[d], ", ")+" do")
		}
	})
	if err != nil {
		return nil, err
	}
	return c.order(d)
}

// orderFields are the members of each deed's payload.
var orderFields = [...][]string{
	Kick:        {"serviceId", "reason"},
	Mute:        {"serviceId", "durationMs"},
	Unsubscribe: {"serviceId", "topic", "action"},
}

// order reads what is asked for.
func (c *call) order(d Deed) (o *Order, err *Error) {
	o = &Order{Deed: d}
	if o.Of, err = c.serviceID(); err != nil {
		return nil, err
	}
	switch d {
	case Kick:
		if _, given := c.fields["reason"]; given {
			o.Reason, err = c.boundedText("reason", 0, reasonMax)
		}
	case Mute:
		o.ForMs, err = c.whole("durationMs", 0, muteMax.Milliseconds())
	case Unsubscribe:
		if o.Kinds, err = c.kinds(false); err == nil {
			o.Pattern, err = c.pattern()
		}
	}
	return o, err
}

// serviceID returns the field serviceId, which must be there.
func (c *call) serviceID() (id codec.UUID, err *Error) {
	value, _, err := c.text("serviceId")
	if err != nil {
		return id, err
	}
	id, ok := codec.ParseUUID([]byte(value))
	if !ok {
		return id, invalid("serviceId", "must be a UUID")
	}
	return id, nil
}

// whole returns the field key, a whole number of least to most.
func (c *call) whole(key string, least, most int64) (value int64, err *Error) {
	value, parse := strconv.ParseInt(string(bytes.TrimSpace(c.fields[key])), 10, 64)
	if parse != nil || value < least || value > most {
		return 0, invalid(key, fmt.Sprintf("must be a whole number of %d to %d", least, most))
	}
	return value, nil
}

// operate carries an order out, for who may.
func operate(d Deed) func(*call) *Error {
	return func(c *call) *Error {
		if err := c.MayOperate(); err != nil {
			return err
		}
		o, err := c.order(d)
		if err != nil {
			return err
		}
		return c.Operate(o)
	}
}

// AppendDone appends the answer to an order that was carried out; ended counts subscriptions:
//
//	{"status":"success","ended":1}
func AppendDone(b []byte, o *Order, ended int) []byte {
	b = append(b, `{"status":"success"`...)
	if o.Deed == Unsubscribe {
		b = strconv.AppendInt(append(b, `,"ended":`...), int64(ended), 10)
	}
	return append(b, '}')
}

// rateMax is how many connections a second a drain may be asked to send away.
const rateMax = 1_000_000

// drain sends the node's connections away, or ends that, for who may.
func (c *call) drain() *Error {
	if err := c.MayOperate(); err != nil {
		return err
	}
	cancel, err := c.flag("cancel")
	if err != nil {
		return err
	}
	rate := int64(0)
	if _, given := c.fields["rate"]; given {
		if rate, err = c.whole("rate", 1, rateMax); err != nil {
			return err
		}
		if cancel {
			return invalid("rate", "goes with no cancel")
		}
	}
	node, by := c.node, c.Actor()
	return c.InBackground(func() func(Caller) *Error {
		state, err := "draining", error(nil)
		if cancel {
			state, err = "ready", node.EndDrain(by)
		} else {
			err = node.BeginDrain(by, int(rate))
		}
		return func(c Caller) *Error {
			if err != nil {
				return &Error{Code: codec.InvalidRequest, Message: err.Error()}
			}
			c.Answer([]byte(`{"status":"success","state":"` + state + `"}`))
			return nil
		}
	})
}
