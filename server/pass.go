package server

import "mbserver/codec"

// pass lets messages of one connection on one topic go on in one turn without asking every limit for each: when it was
// granted, all limits had room for more. What went on is paid to the limits at the end of the turn, or as soon as another
// connection or topic comes; until then other loops do not see it. The passes of all loops together are at most a
// passShare-th of what is left of a second's worth: by so much the limits of a topic and of the node may be exceeded within a
// turn, and what follows waits that much longer. With one loop every limit is exact. Loop only.
type pass struct {
	c             *conn // nil when there is none
	response      bool
	name          []byte // canonical; its memory is reused
	granted, left int64
	topic         *topicRates // nil when only the service and the node count
}

// passMax is the most messages of a pass: enough that what granting it costs is nothing to each of them.
const passMax = 64

// passShare is the part (1/n) of what is left of a shared limit that all loops' passes together may take.
const passShare = 32

// covers tells whether a message is like the last one, the only one that a pass could have been granted for.
func (p *pass) covers(c *conn, h *codec.Header, name []byte) bool {
	return p.c == c && p.response == (h.Action == codec.Response) && string(p.name) == string(name)
}

// grant lets messages like the one that has just passed go on: as many as half the room of the service's own limits, and
// this loop's part of the passShare-th of those that loops share.
func (l *loop) grant(t *topicRates) {
	r, p, now := l.node.rates, &l.pass, l.time.Ms
	shared := r.node.Room(r.total, now)
	own := p.c.rates.all.Room(r.perService, now)
	if t != nil {
		shared = min(shared, r.topics.Room(&t.bucket, now))
		for _, i := range t.patterns {
			own = min(own, (*p.c.rates.patterns)[i].Room(r.patterns.Rate(i), now))
		}
	}
	p.granted = min(passMax, own/2, shared/int64(passShare*len(l.node.loops)))
	p.left, p.topic = p.granted, t
}

// payPass pays what the pass let through, and ends it.
func (l *loop) payPass() {
	r, p, now := l.node.rates, &l.pass, l.time.Ms
	if n := p.granted - p.left; n > 0 {
		p.c.rates.all.Pay(r.perService, now, n)
		r.node.Pay(r.total, now, n)
		if t := p.topic; t != nil {
			r.topics.Pay(&t.bucket, p.name, now, n)
			for _, i := range t.patterns {
				(*p.c.rates.patterns)[i].Pay(r.patterns.Rate(i), now, n)
			}
		}
	}
	p.granted, p.left = 0, 0
}
