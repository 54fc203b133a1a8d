package broker

import "mbserver/ringbuf"

// pieceMax is how many bytes a connection is written in one turn when more than twice as many wait
// for it, a backlog or a large answer: those of other connections are not kept waiting for some
// megabytes of one.
const pieceMax = 256 << 10

// piece is a socket that takes so many bytes and then pretends to be full. The real one reports at
// once that it has room, and the next piece follows. Loop only.
type piece struct {
	sock Socket
	left int
}

// pieceOf is what c is written to in this turn.
func (l *Loop) pieceOf(c *Conn) ringbuf.Writer {
	if c.out.Bytes() <= 2*pieceMax {
		return c.sock
	}
	l.piece = piece{c.sock, pieceMax}
	return &l.piece
}

// Write implements ringbuf.Writer.
func (p *piece) Write(b []byte) (int, error) {
	n, err := p.sock.Write(b[:min(len(b), p.left)])
	p.left -= n
	return n, err
}

// Writev implements ringbuf.Writer. It cuts bufs short.
func (p *piece) Writev(bufs [][]byte) (int, error) {
	left := p.left
	for i, b := range bufs {
		if len(b) >= left {
			bufs[i] = b[:left]
			bufs = bufs[:i+1]
			break
		}
		left -= len(b)
	}
	if p.left == 0 {
		return 0, nil
	}
	n, err := p.sock.Writev(bufs)
	p.left -= n
	return n, err
}
