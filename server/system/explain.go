package system

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"mbserver/codec"
	"mbserver/server/permit"
	"mbserver/server/trace"
	"mbserver/topic"
)

// Fate is one thing that became of a message, or would (protocol §11).
type Fate struct {
	At      int64 // Unix ms
	Stop    trace.Stop
	Service codec.UUID // zero: it was at none
	Reason  string
	Pattern string // of the subscription that matched, canonical
	More    int    // others of its kind that are not told one by one
}

// Forecast is a message of which is asked what would become of it.
type Forecast struct {
	Topic string      // canonical, of the user
	Verb  permit.Verb // Publish or Request
	Rules *permit.Rules
	Bytes int // of its payload
}

// Arm is which messages are to be looked at: those on topics that a pattern matches, or, when that
// is the zero one, all that a service sends.
type Arm struct {
	Pattern topic.Pattern
	Service codec.UUID
	ForMs   int64 // 0: no longer
}

const (
	// armMost is for how long somebody may arm, in milliseconds.
	armMost = 600_000

	// stopsMost is how many stops an answer has. Of more, those that went well are left out.
	stopsMost = 256
)

// explain answers what became of a message, or what would; or has messages looked at.
func (c *call) explain() *Error {
	if _, arms := c.fields["armMs"]; arms {
		return c.arm()
	}
	text, asks, err := c.text("requestId")
	if err != nil {
		return err
	}
	if !asks {
		return c.forecast()
	}
	id, ok := codec.ParseUUID([]byte(text))
	if !ok {
		return invalid("requestId", "must be a UUID")
	}
	return c.Fates(id, answerFates)
}

// answerFates is all that is said of a message: what may not be seen looks like what is not there.
func answerFates(c Caller, fates []Fate, found bool) *Error {
	c.Answer(appendFates(nil, c, fates, found))
	return nil
}

// forecast answers what would become of a message now.
func (c *call) forecast() *Error {
	text, ok, err := c.text("topic")
	if err != nil {
		return err
	}
	if !ok {
		return invalid("topic", "is missing, and so is requestId")
	}
	q := &Forecast{Rules: c.Rules()}
	name, bad := topic.ParseName(text)
	switch {
	case bad != nil:
		return invalid("topic", bad.Error())
	case topic.IsSystem([]byte(name)):
		return invalid("topic", "must not be one of the node's own")
	}
	q.Topic = name
	if q.Verb, err = c.verb(); err != nil {
		return err
	}
	size := float64(0)
	if raw, ok := c.fields["payloadBytes"]; ok && (!decode(raw, &size) || size < 0 ||
		size != math.Trunc(size) || size > math.MaxInt32) {
		return invalid("payloadBytes", "must be a whole number of bytes, 0 or more")
	}
	q.Bytes = int(size)
	identity, others, err := c.text("identity")
	if err != nil {
		return err
	}
	if others = others && identity != c.Identity(); others && !c.Holds(permit.Admin) {
		return Forbidden(permit.Request.String(), ExplainTopic)
	}
	node := c.node
	return c.InBackground(func() func(Caller) *Error {
		if others {
			q.Rules = node.RulesOf(identity)
		}
		fates := node.Forecast(q)
		return func(c Caller) *Error { return answerFates(c, fates, true) }
	})
}

// verb reads the field action of a forecast.
func (c *call) verb() (permit.Verb, *Error) {
	action, ok, err := c.text("action")
	switch action = strings.ToLower(action); {
	case err != nil:
		return 0, err
	case !ok || action == "publish":
		return permit.Publish, nil
	case action == "request":
		return permit.Request, nil
	}
	return 0, invalid("action", "must be publish or request")
}

// arm has messages looked at for a while.
func (c *call) arm() *Error {
	ms := float64(0)
	if !decode(c.fields["armMs"], &ms) || ms < 0 || ms > armMost || ms != math.Trunc(ms) {
		return invalid("armMs", "must be a whole number of milliseconds, 0 to "+
			strconv.Itoa(armMost))
	}
	a := Arm{ForMs: int64(ms)}
	text, one, err := c.text("serviceId")
	if err != nil {
		return err
	}
	if _, both := c.fields["topic"]; one && both {
		return invalid("serviceId", "is one more than topic: arm for one of them")
	}
	if one {
		id, ok := codec.ParseUUID([]byte(text))
		if !ok {
			return invalid("serviceId", "must be a UUID")
		}
		if a.Service = id; id != c.ID() && !c.Holds(permit.Connection) {
			return Forbidden(permit.Request.String(), ExplainTopic)
		}
	} else if a.Pattern, err = c.pattern(); err != nil {
		return err
	} else if a.Pattern.System() {
		return invalid("topic", "must not be one of the node's own")
	}
	return c.Arm(a, succeed)
}

// succeed is success for what is done later.
func succeed(c Caller) *Error {
	c.Answer(statusSuccess)
	return nil
}

// appendFates appends an answer. IDs and patterns of others are for those who may know connections.
func appendFates(b []byte, c Caller, fates []Fate, found bool) []byte {
	b = append(b, `{"status":"success","found":`...)
	b = append(strconv.AppendBool(b, found), `,"stops":[`...)
	all := c.Holds(permit.Connection)
	for _, f := range fewer(fates) {
		b = f.append(b, all || f.Service == c.ID())
		b = append(b, ',')
	}
	return endList(b)
}

// fewer leaves stops out when there are too many, those that went well first.
func fewer(fates []Fate) []Fate {
	left := len(fates) - stopsMost
	if left <= 0 {
		return fates
	}
	some := make([]Fate, 0, stopsMost)
	for _, f := range fates {
		well := f.Stop == trace.Matched || f.Stop == trace.Delivered
		if well && left > 0 {
			left--
			continue
		}
		some = append(some, f)
	}
	return some[:min(len(some), stopsMost)]
}

func (f *Fate) append(b []byte, whose bool) []byte {
	b = codec.AppendTimestamp(append(b, `{"at":"`...), f.At)
	b = append(append(b, `","stop":"`...), f.Stop.String()...)
	b = append(b, '"')
	reason := bytes.NewBufferString(f.Reason)
	if f.More > 0 {
		if reason.Len() > 0 {
			reason.WriteString(", and ")
		}
		reason.WriteString(strconv.Itoa(f.More) + " more")
	}
	if reason.Len() > 0 {
		b = codec.AppendJSONQuoted(append(b, `,"reason":`...), reason.String())
	}
	if whose && f.Service != (codec.UUID{}) {
		b = append(f.Service.Append(append(b, `,"serviceId":"`...)), '"')
	}
	if whose && f.Pattern != "" {
		b = codec.AppendJSONQuoted(append(b, `,"pattern":`...), f.Pattern)
	}
	return append(b, '}')
}
