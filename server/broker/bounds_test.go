package broker

import (
	"testing"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/config"
)

// What the hot path uses follows from the configuration as docs/configuration.md says.
func TestBoundsOf(t *testing.T) {
	cfg := config.Default()
	cfg.Connection.OutboundBytes, cfg.Connection.OutboundMessages = 1<<20, 1600
	cfg.Message.PayloadMaxLength = 1000
	cfg.Memory.Limit = 1 << 30
	for _, row := range []struct {
		what       string
		loops      int
		adjust     func(*config.Config)
		droppable  ringbuf.Limits
		limits     ringbuf.Limits
		inboxBytes int
	}{
		{
			what: "a sixteenth is kept for answers", loops: 2,
			droppable:  ringbuf.Limits{Bytes: 1<<20 - 1<<16, Messages: 1600},
			limits:     ringbuf.Limits{Bytes: 1 << 20, Messages: 1700},
			inboxBytes: 16 << 20,
		},
		{
			what: "at least 16 KiB and 64 messages", loops: 2,
			adjust: func(c *config.Config) {
				c.Connection.OutboundBytes, c.Connection.OutboundMessages = 128<<10, 16
			},
			droppable:  ringbuf.Limits{Bytes: 112 << 10, Messages: 16},
			limits:     ringbuf.Limits{Bytes: 128 << 10, Messages: 80},
			inboxBytes: 16 << 20,
		},
		{
			what: "but no more than a quarter", loops: 2,
			adjust:     func(c *config.Config) { c.Connection.OutboundBytes = 8 << 10 },
			droppable:  ringbuf.Limits{Bytes: 6 << 10, Messages: 1600},
			limits:     ringbuf.Limits{Bytes: 8 << 10, Messages: 1700},
			inboxBytes: 16 << 20,
		},
		{
			what: "inboxes hold an eighth of memory.limit together", loops: 4,
			adjust:     func(c *config.Config) { c.Memory.Limit = 32 << 20 },
			droppable:  ringbuf.Limits{Bytes: 1<<20 - 1<<16, Messages: 1600},
			limits:     ringbuf.Limits{Bytes: 1 << 20, Messages: 1700},
			inboxBytes: 1 << 20,
		},
	} {
		c := cfg
		if row.adjust != nil {
			row.adjust(&c)
		}
		b := boundsOf(&c, row.loops)
		if b.droppable != row.droppable || b.limits != row.limits ||
			b.inboxBytes != row.inboxBytes {
			t.Errorf("%s: droppable %+v, limits %+v, inbox %d",
				row.what, b.droppable, b.limits, b.inboxBytes)
		}
		header := codec.MaxHeaderLen(uint64(c.Request.TimeoutMax.Milliseconds()))
		if want := 1000 + header; b.maxFrame != want {
			t.Errorf("%s: frames of %d bytes, want %d", row.what, b.maxFrame, want)
		}
	}
	cfg.Memory.Limit, cfg.Message.PayloadMaxLength = 1<<20, 64<<10
	if b := boundsOf(&cfg, 8); b.inboxBytes != 2*(b.maxFrame+itemCharge) {
		t.Errorf("an inbox of %d bytes, want room for two frames of %d", b.inboxBytes, b.maxFrame)
	}
}
