//go:build linux

package raw

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

func (h *Hub) read(p *peer) {
	n := copy(h.buf, p.in)
	m, err := unix.Read(p.fd, h.buf[n:])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil || m == 0:
		h.drop(p)
		return
	}
	in := h.buf[:n+m]
	p.in = p.in[:0]
	if !p.greeted {
		hello, used := parseHello(in)
		if used == 0 {
			p.in = append(p.in, in...)
			return
		}
		h.greet(p, hello)
		in = in[used:]
	}
	if len(in) > 0 {
		h.forward(p, in)
	}
}

func (h *Hub) greet(p *peer, hello Hello) {
	c := h.channels[hello.Channel]
	if c == nil {
		c = &channel{}
		h.channels[hello.Channel] = c
	}
	p.hello, p.channel, p.greeted = hello, c, true
	switch hello.Role {
	case Subscriber:
		c.subscribers = append(c.subscribers, p)
	case Responder:
		c.responders = append(c.responders, p)
	case Publisher:
		c.publishers = append(c.publishers, p)
	case Requester:
		h.requesters[hello.Slot] = p
	}
	h.send(p, []byte{'+'})
}

// forward moves bytes of p to whom they belong. Requests and answers move in whole frames, so that
// those of several requesters do not mix; a publisher's bytes move as they come.
func (h *Hub) forward(p *peer, in []byte) {
	c := p.channel
	if p.hello.Role == Publisher {
		for _, s := range c.subscribers {
			h.send(s, in)
		}
		return
	}
	frame := int(p.hello.Frame)
	if frame < 4 {
		h.drop(p)
		return
	}
	whole := len(in) / frame * frame
	p.in = append(p.in[:0], in[whole:]...)
	switch {
	case p.hello.Role == Requester && len(c.responders) > 0:
		c.next = (c.next + 1) % len(c.responders)
		h.later(c.responders[c.next], in[:whole]) // those of several requesters leave in one write
	case p.hello.Role == Responder:
		for at := 0; at < whole; at += frame {
			if q := h.requesters[binary.BigEndian.Uint32(in[at:])]; q != nil {
				h.later(q, in[at:at+frame])
			}
		}
	}
}

// send writes at once; what the kernel does not take is kept.
func (h *Hub) send(p *peer, b []byte) {
	if len(p.out) == 0 && !p.dead {
		n, err := unix.Write(p.fd, b)
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			h.drop(p)
			return
		}
		b = b[max(n, 0):]
	}
	if len(b) > 0 {
		h.later(p, b)
	}
}

// later keeps b for the end of the turn, or for when there is room.
func (h *Hub) later(p *peer, b []byte) {
	if p.dead {
		return
	}
	before := len(p.out)
	p.out = append(p.out, b...)
	if before <= lagLimit && len(p.out) > lagLimit {
		p.channel.lagging++
		h.pause(p.channel)
	}
	h.mark(p)
}

func (h *Hub) mark(p *peer) {
	if !p.dirty {
		p.dirty = true
		h.dirty = append(h.dirty, p)
	}
}

// flush writes what waits.
func (h *Hub) flush() {
	for _, p := range h.dirty {
		p.dirty = false
		if p.dead {
			continue
		}
		n, err := unix.Write(p.fd, p.out)
		if len(p.out) > 0 && err != nil && err != unix.EAGAIN && err != unix.EINTR {
			h.drop(p)
			continue
		}
		n = max(n, 0)
		lagged := len(p.out) > lagLimit
		p.out = p.out[:copy(p.out, p.out[n:])]
		if lagged && len(p.out) <= lagLimit {
			p.channel.lagging--
			h.pause(p.channel)
		}
		if waiting := len(p.out) > 0; waiting != p.waiting {
			p.waiting = waiting
			h.watch(p)
		}
	}
	h.dirty = h.dirty[:0]
}

// pause stops or resumes reading a channel's publishers.
func (h *Hub) pause(c *channel) {
	if paused := c.lagging > 0; paused != c.paused {
		c.paused = paused
		for _, p := range c.publishers {
			h.watch(p)
		}
	}
}

func (h *Hub) watch(p *peer) {
	if p.dead {
		return // Its descriptor may be another's by now.
	}
	var mask uint32
	if p.hello.Role != Publisher || !p.channel.paused {
		mask |= unix.EPOLLIN
	}
	if p.waiting {
		mask |= unix.EPOLLOUT
	}
	event := unix.EpollEvent{Events: mask, Fd: int32(p.fd)}
	_ = unix.EpollCtl(h.epoll, unix.EPOLL_CTL_MOD, p.fd, &event) // Fails for a closed one only.
}

// drop closes p. Slices are replaced, not changed: a walk over the old one may be going on.
func (h *Hub) drop(p *peer) {
	if p.dead {
		return
	}
	p.dead = true
	delete(h.peers, int32(p.fd))
	_ = unix.Close(p.fd) // Nothing of it is needed.
	c := p.channel
	if c == nil {
		return
	}
	if len(p.out) > lagLimit {
		c.lagging--
		h.pause(c)
	}
	without := func(all []*peer) []*peer {
		return slices.DeleteFunc(slices.Clone(all), func(q *peer) bool { return q == p })
	}
	c.subscribers, c.responders = without(c.subscribers), without(c.responders)
	c.publishers = without(c.publishers)
	if h.requesters[p.hello.Slot] == p {
		delete(h.requesters, p.hello.Slot)
	}
}
