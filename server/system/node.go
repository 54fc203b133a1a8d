package system

import (
	"strconv"
	"time"

	"mbserver/codec"
	"mbserver/server/metrics"
)

// listNodes answers with the node and those it knows.
func (c *call) listNodes() *Error {
	node := c.node
	return c.InBackground(func() func(Caller) *Error {
		b := appendNodes(nil, node.Nodes(time.Now()))
		return func(c Caller) *Error {
			c.Answer(b)
			return nil
		}
	})
}

// appendNodes appends the answer: what is not known is absent, and so is what there is not between
// a node and itself.
func appendNodes(b []byte, nodes []metrics.Peer) []byte {
	b = append(b, `{"status":"success","nodes":[`...)
	for i := range nodes {
		n := &nodes[i]
		b = codec.AppendJSONQuoted(append(b, `{"id":`...), n.ID)
		if n.Name != "" {
			b = codec.AppendJSONQuoted(append(b, `,"name":`...), n.Name)
		}
		b = codec.AppendJSONQuoted(append(b, `,"version":`...), n.Version)
		b = codec.AppendTimestamp(append(b, `,"connectedAt":"`...), n.Since.UnixMilli())
		b = codec.AppendJSONQuoted(append(b, `","state":`...), n.State)
		b = strconv.AppendBool(append(b, `,"draining":`...), n.Draining)
		b = strconv.AppendInt(append(b, `,"connections":`...), n.Connections, 10)
		if n.Self {
			b = append(b, `,"self":true},`...)
			continue
		}
		if n.RoundTrip > 0 {
			ms := float64(n.RoundTrip.Microseconds()) / 1000
			b = strconv.AppendFloat(append(b, `,"rttMs":`...), ms, 'f', -1, 64)
		}
		b = strconv.AppendUint(append(b, `,"lost":`...), n.Lost, 10)
		b = append(b, "},"...)
	}
	return endList(b)
}
