package logging

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
)

// past is the last lines, of each module for itself: a crowd that comes does not push out what the
// others have said. They are kept as they came, whether or not the output takes them, and made JSON
// for who asks. A line costs a lock and the copy of its record. Any goroutine.
type past struct {
	mu sync.Mutex
	// Guarded by mu.
	modules map[string]*pastLines
	count   uint64 // lines that came
}

// pastLines is a ring of the last lines of one module.
type pastLines struct {
	lines []pastLine
	next  int // the oldest, once it is full
}

type pastLine struct {
	serial uint64
	entry
}

const (
	pastMost    = 200 // lines of one module
	pastModules = 32  // the lines of more are one module's
)

// note keeps a line.
func (p *past) note(e entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	module := e.module
	if p.modules[module] == nil {
		if p.modules == nil {
			p.modules = make(map[string]*pastLines)
		}
		if len(p.modules) >= pastModules {
			module = ""
		}
	}
	of := p.modules[module]
	if of == nil {
		of = new(pastLines)
		p.modules[module] = of
	}
	p.count++
	line := pastLine{p.count, e}
	if len(of.lines) < pastMost {
		of.lines = append(of.lines, line)
		return
	}
	of.lines[of.next] = line
	of.next = (of.next + 1) % pastMost
}

// all returns the lines in the order in which they came. Who logs waits for the copy of one
// module's at the most.
func (p *past) all() (lines []pastLine) {
	p.mu.Lock()
	modules := slices.Collect(maps.Values(p.modules))
	p.mu.Unlock()
	lines = make([]pastLine, 0, pastMost*len(modules))
	for _, of := range modules {
		p.mu.Lock()
		lines = append(lines, of.lines...)
		p.mu.Unlock()
	}
	slices.SortFunc(lines, func(a, b pastLine) int { return cmp.Compare(a.serial, b.serial) })
	return lines
}

// Past shows f the last lines of the output's level and above, of each module 200, in the order in
// which they came. Any goroutine; while it makes a line, the tap waits.
func (h *Handler) Past(f func(Line)) {
	c := h.core
	for _, l := range c.past.all() {
		line := lineOf(l.entry)
		c.formatting.Lock()
		line.Attrs = bytes.Clone(c.attrsOf(l.entry))
		c.formatting.Unlock()
		f(line)
	}
}

// lineOf is a record as the tap sees it, without its attributes.
func lineOf(e entry) Line {
	return Line{
		Level: e.record.Level, Time: e.record.Time, Message: e.record.Message, Module: e.module,
	}
}

// attrsOf makes the attributes of a record JSON members; they are valid until the next call.
// formatting is held.
func (c *core) attrsOf(e entry) []byte {
	c.attrs.Reset()
	if e.from.tap.Handle(context.Background(), e.record) != nil {
		return nil
	}
	return members(c.attrs.Bytes())
}
