package broker

import (
	"fmt"
	"strings"
	"testing"
)

// What is remembered for connections is bounded: whoever has more than its part is refused more of
// it, of all kinds, and what goes makes room again.
func TestRememberedWithinMemory(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	n.remembers = 64 << 10
	hoarder, other := n.connect(0, TransportTCP), n.connect(1, TransportWS)
	const refused = "SERVICE_UNAVAILABLE memory"
	subscribe := func(k *testClient, i int) string {
		return reasonOf(k.subscribed("both", fmt.Sprintf("many.p%d", i)))
	}
	count := 0
	for ; subscribe(hoarder, count) == "success"; count++ {
		if n.remembered.Load() > n.remembers/2 {
			t.Fatalf("%d bytes for one of two connections", n.remembered.Load())
		}
	}
	if got := subscribe(hoarder, count); got != refused {
		t.Fatalf("one more: %s", got)
	}
	if n.remembered.Load() < n.remembers/2-1<<10 {
		t.Errorf("refused with %d bytes of %d", n.remembered.Load(), n.remembers)
	}
	profile := fmt.Sprintf(`{"name":"hoarder","description":"%s"}`, strings.Repeat("x", 1000))
	for topic, payload := range map[string]string{
		"system.service.register": profile, "system.log.subscribe": `{"regex":"(abc|def)*"}`,
	} {
		hoarder.inquire(topic, payload)
		n.settle()
		if got := hoarder.answer(); reasonOf(got) != refused {
			t.Errorf("%s: %s", topic, got)
		}
	}
	if got := subscribe(hoarder, 0); got != "success" {
		t.Errorf("what is there: %s", got)
	}
	// Others have their part, and no more.
	for i := range 20 {
		if got := subscribe(other, i); got != "success" {
			t.Fatalf("another one's: %s", got)
		}
	}
	for i := 20; subscribe(other, i) == "success"; i++ {
	}
	if all := n.remembered.Load(); all > n.remembers {
		t.Errorf("%d bytes of %d", all, n.remembers)
	}
	// What goes makes room.
	for i := range count {
		hoarder.inquire("system.topic.unsubscribe", fmt.Sprintf(`{"topic":"many.p%d"}`, i))
	}
	hoarder.answers()
	hoarder.inquire("system.service.register", profile)
	if got := hoarder.answer(); reasonOf(got) != "success" {
		t.Errorf("within its part again: %s", got)
	}
	hoarder.hangUp(true)
	other.hangUp(true)
	n.settle()
	if all := n.remembered.Load(); all != 0 {
		t.Errorf("%d bytes are remembered for nobody", all)
	}
}
