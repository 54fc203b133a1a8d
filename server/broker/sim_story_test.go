package broker

// storyCharge is, in bytes, what c is charged for its events and spells.
func (c *Conn) storyCharge() int64 {
	if p := c.particulars.Load(); p != nil && p.story != nil {
		return p.story.charged
	}
	return 0
}

// checkStory holds that what is remembered of a connection is charged, and returns that: its log,
// and its spells.
func (s *simulation) checkStory(c *Conn) (held int64) {
	p := c.particulars.Load()
	if p == nil || p.story == nil {
		return 0
	}
	held = int64(p.story.log.Held())
	for sp := p.spells.Load(); sp != nil; sp = sp.next {
		held += spellCharge
	}
	if held != p.story.charged {
		s.fail("%v is remembered with %d bytes and charged %d", c.id, held, p.story.charged)
	}
	return held
}
