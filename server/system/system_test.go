package system

import (
	"os"
	"strings"
	"testing"
)

// The contract tells of every request that the node itself answers: each has its row in section 8.
func TestHandlersAreInTheContract(t *testing.T) {
	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "\n## 8. System topics\n")
	if !ok {
		t.Fatal("docs/protocol.md has no section 8, System topics")
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	for name := range handlers {
		if !strings.Contains(section, "\n| `"+name+"` ") {
			t.Errorf("docs/protocol.md, section 8, has no row for %s", name)
		}
	}
}
