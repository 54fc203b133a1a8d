package ringbuf

// Tag names a message to whoever wants to know what becomes of it, frame by frame; 0: nobody does.
type Tag uint16

// Outcome is what became of a tagged message.
type Outcome uint8

// The outcomes. A message that was Kept has another one later.
const (
	Written   Outcome = iota // the socket took all of it
	Kept                     // the socket did not: it waits in the backlog
	Oldest                   // DropOldest took it out
	Replaced                 // a newer one with its key took its place
	Cancelled                // Cancel took it out
	Expelled                 // Expel took it out
	Lost                     // Release gave it up
)

// Told is the outcome of one tagged message.
type Told struct {
	Tag     Tag
	Outcome Outcome
}

// Tag gives a frame of this turn a tag. What becomes of it stands in Told after each call that
// takes the frame, or takes it out: whoever calls Flush and its neighbours looks there, and empties
// it, before the next Outbound has its turn.
func (t *Turn) Tag(f Frame, tag Tag) {
	t.tagged = true
	t.Frames[f.frames].meta[f.index].tag = tag
}

func (t *Turn) tell(tag Tag, what Outcome) { t.Told = append(t.Told, Told{tag, what}) }

// tellTurn tells of the turn's frames that o has taken.
func (o *Outbound) tellTurn(t *Turn, what Outcome) {
	if o.more != nil {
		for i := range *o.more {
			t.tellSpan(&(*o.more)[i], what)
		}
	}
	t.tellSpan(&o.last, what)
}

func (t *Turn) tellSpan(s *span, what Outcome) {
	g := &t.Frames[s.frames]
	for i, at := s.first, s.start; at < s.end; i++ {
		if tag := g.meta[i].tag; tag != 0 {
			t.tell(tag, what)
		}
		at = g.meta[i].end
	}
}

// tag gives the message that was pushed last a tag.
func (q *backlog) tag(tag Tag) {
	q.at(q.tail - 1).tag = tag // of its records the last: that goes last
	q.turn.tell(tag, Kept)
}
