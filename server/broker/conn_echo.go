package broker

import "mbserver/ringbuf"

// echo hands a message of c back to it (Options.Echo): whole, text as text and anything else as
// binary. Such a node has neither subscribers nor answers, and what it sends is bounded as answers
// are: who does not read what comes back is not read (conn_owing.go).
func (l *Loop) echo(c *Conn, data []byte, text bool) {
	if len(data) < sharedBodyMin || c.form == formDeflate && len(data) <= l.broker.deflateMax {
		l.send(c, nil, data, text)
		return
	}
	body := ringbuf.NewShared(len(data))
	body.B = append(body.B, data...)
	l.sendShared(c, nil, body, text)
	body.Release()
}
