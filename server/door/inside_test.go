package door

import (
	"bufio"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mbserver/server/config"
)

// A connection from within is greeted as any other, has the address that it was made for, and takes
// a place.
func TestDial(t *testing.T) {
	h := open(t, func(cfg *config.Config) { cfg.Connection.MaxConcurrent = 1 })
	from := netip.MustParseAddrPort("192.0.2.7:7")
	c, err := h.Dial(from)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	g := &guest{Conn: c, t: t, in: bufio.NewReader(c)}
	if told := g.frame(); !strings.Contains(told, "system.initialize") {
		t.Errorf("told %q", told)
	}
	if _, err := h.Dial(from); err == nil || !strings.Contains(err.Error(), "as many connections") {
		t.Errorf("beyond connection.max.concurrent: %v", err)
	}
	_ = c.Close()
	h.eventually("its place is free", func() bool {
		c, err := h.Dial(from)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}
