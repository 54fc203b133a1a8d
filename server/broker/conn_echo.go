package broker

import (
	"mbserver/codec"
	"mbserver/ringbuf"
)

// echo hands a message back to c (Options.Echo): whole, text as text and anything else as binary.
// Such a node has neither subscribers nor answers, and what it sends is bounded as answers are: who
// does not read what comes back is not read (conn_owing.go).
func (l *Loop) echo(c *Conn, m *codec.Message) {
	text := m.Kind == codec.Text
	if len(m.Data) < sharedBodyMin {
		l.send(c, nil, m.Data, text)
		return
	}
	body := ringbuf.NewShared(len(m.Data))
	body.B = append(body.B, m.Data...)
	l.sendShared(c, nil, body, text)
	body.Release()
}
