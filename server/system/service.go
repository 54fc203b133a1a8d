package system

import (
	"bytes"
	"encoding/json"
	"strconv"

	"mbserver/codec"
	"mbserver/server/metrics"
	"mbserver/server/permit"
	"mbserver/topic"
)

// Service is one service as system.service.list shows it.
type Service struct {
	ID          codec.UUID
	Node        codec.UUID // that it is connected to; zero: no cluster, or not known
	Abroad      bool       // that is another one, and what is zero may not be known
	Profile     *Profile   // nil until it registers
	ConnectedAt int64      // Unix ms
	LastSeen    int64      // Unix ms
	Transport   string
	Outstanding int
	Queued      int
	ErrorRate   int    // errors in the last whole second
	Remote      string // address:port
	Identity    string // who it is; "" when that is not known

	BacklogBytes, BacklogMessages int64 // that wait for it
	Dropped                       int64 // deliveries that it did not get
}

// Profile is what a service registered. Immutable.
type Profile struct {
	Name, Description string
	MaxConcurrent     int    // 0: none given
	Metadata          []byte // canonical JSON object of strings, nil when empty
}

// Equal says whether nothing has changed.
func (p *Profile) Equal(q *Profile) bool {
	return p.Name == q.Name && p.Description == q.Description &&
		p.MaxConcurrent == q.MaxConcurrent && bytes.Equal(p.Metadata, q.Metadata)
}

// Charge is what a profile makes the node hold, in bytes. That of none is 0.
func (p *Profile) Charge() int {
	if p == nil {
		return 0
	}
	return profileCharge + len(p.Name) + len(p.Description) + len(p.Metadata)
}

const profileCharge = 128 // bytes that a profile takes beside its texts

// Subscription is one of a service's own.
type Subscription struct {
	Pattern  topic.Pattern
	Kind     topic.Kind
	Priority float64
}

// Bounds of a registration (protocol §8).
const (
	nameMax        = 36      // characters
	descriptionMax = 1024    // characters
	metadataMax    = 1 << 10 // bytes of JSON
)

// register names the service, or changes what it is known as.
func (c *call) register() *Error {
	p := &Profile{}
	var err *Error
	if p.Name, err = c.boundedText("name", 1, nameMax); err != nil {
		return err
	}
	if p.Description, err = c.boundedText("description", 1, descriptionMax); err != nil {
		return err
	}
	if raw, ok := c.fields["maxConcurrent"]; ok {
		if !decode(raw, &p.MaxConcurrent) || p.MaxConcurrent < 1 {
			return invalid("maxConcurrent", "must be a whole number of at least 1")
		}
	}
	flat, err := c.texts("metadata", "must be a flat object of strings")
	if err != nil {
		return err
	}
	if len(flat) > 0 {
		if p.Metadata, _ = json.Marshal(flat); len(p.Metadata) > metadataMax {
			return invalid("metadata", "must be at most 1 KiB")
		}
	}
	if err := c.Register(p); err != nil {
		return err
	}
	c.success()
	c.notify("system.service.register")
	return nil
}

// listServices answers with every service of the node, and of other nodes those that take requests.
func (c *call) listServices() *Error {
	c.Counts()[metrics.Discoveries]++
	alone, err := c.nodeOnly()
	if err != nil {
		return err
	}
	full := c.Holds(permit.Connection)
	switch {
	case alone && full:
		return c.AnswerShared(FullNodeServicesSnapshot)
	case alone:
		return c.AnswerShared(NodeServicesSnapshot)
	case full:
		return c.AnswerShared(FullServicesSnapshot)
	}
	return c.AnswerShared(ServicesSnapshot)
}

// nodeOnly reads the field scope: whether the asker wants nothing of other nodes.
func (c *call) nodeOnly() (bool, *Error) {
	scope, given, err := c.text("scope")
	if err != nil || !given {
		return false, err
	}
	if scope != "node" && scope != "cluster" {
		return false, invalid("scope", "must be node or cluster")
	}
	return scope == "node", nil
}

// append appends s; full: with what only some may see (protocol §8).
func (s *Service) append(b []byte, full bool) []byte {
	p := s.Profile
	if p == nil {
		p = &Profile{}
	}
	b = append(b, `{"id":"`...)
	b = s.ID.Append(b)
	b = append(b, `","name":`...)
	b = codec.AppendJSONQuoted(b, p.Name)
	b = append(b, `,"description":`...)
	b = codec.AppendJSONQuoted(b, p.Description)
	b = append(b, `,"connectedAt":"`...)
	b = codec.AppendTimestamp(b, s.ConnectedAt)
	if !s.Abroad {
		b = append(b, `","lastHeartbeat":"`...)
		b = codec.AppendTimestamp(b, s.LastSeen)
	}
	b = append(b, `","transport":"`...)
	b = append(b, s.Transport...)
	b = append(b, '"')
	if p.Metadata != nil {
		b = append(append(b, `,"metadata":`...), p.Metadata...)
	}
	b = append(b, `,"outstanding":`...)
	b = strconv.AppendInt(b, int64(s.Outstanding), 10)
	if !s.Abroad {
		b = append(b, `,"queued":`...)
		b = strconv.AppendInt(b, int64(s.Queued), 10)
	}
	b = appendNodeID(b, s.Node)
	if full && s.Identity != "" {
		b = codec.AppendJSONQuoted(append(b, `,"identity":`...), s.Identity)
	}
	if !full || s.Abroad {
		return append(b, '}')
	}
	b = append(append(append(b, `,"remote":"`...), s.Remote...), '"')
	b = strconv.AppendInt(append(b, `,"backlogBytes":`...), s.BacklogBytes, 10)
	b = strconv.AppendInt(append(b, `,"backlogMessages":`...), s.BacklogMessages, 10)
	b = strconv.AppendInt(append(b, `,"dropped":`...), s.Dropped, 10)
	return append(b, '}')
}

// appendNodeID appends the member nodeId, unless the node is not known.
func appendNodeID(b []byte, node codec.UUID) []byte {
	if node == (codec.UUID{}) {
		return b
	}
	return append(node.Append(append(b, `,"nodeId":"`...)), '"')
}

// serviceSubscriptions answers with what one service is subscribed to.
func (c *call) serviceSubscriptions() *Error {
	of := c.ID()
	value, given, err := c.text("serviceId")
	if err != nil {
		return err
	}
	if given {
		id, ok := codec.ParseUUID([]byte(value))
		if !ok {
			return invalid("serviceId", "must be a UUID")
		}
		of = id
	}
	if of != c.ID() && !c.Holds(permit.ServiceList) {
		return Forbidden("request", "system.service.subscriptions")
	}
	return c.AnswerSubscriptions(of)
}

// UnknownService is the answer when there is no service with that ID at this node. node is the one
// that it is connected to; zero: that is not known.
func UnknownService(id, node codec.UUID) *Error {
	e := &Error{codec.ServiceUnavailable, "no such service is connected",
		[]codec.Detail{
			codec.TextDetail("serviceId", id.String()), codec.TextDetail("reason", "unknown"),
		}}
	if node != (codec.UUID{}) {
		e.Message = "that service is connected to another node"
		e.Details = append(e.Details, codec.TextDetail("nodeId", node.String()))
	}
	return e
}

// appendPriority appends the member priority, which subscriptions for requests have.
func appendPriority(b []byte, k topic.Kind, priority float64) []byte {
	if k != topic.Request {
		return b
	}
	return codec.AppendJSONNumber(append(b, `,"priority":`...), priority)
}
