package proc

import (
	"bytes"
	"strings"
	"sync"
)

// Tail keeps the last lines that a process prints above info: who comes and goes is no news. Any
// goroutine.
type Tail struct {
	mu    sync.Mutex
	part  []byte   // guarded by mu: of a line
	lines []string // guarded by mu
}

const tailLines = 8

// Write implements io.Writer. It never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range bytes.Lines(p) {
		if t.part = append(t.part, line...); line[len(line)-1] != '\n' {
			continue
		}
		if !bytes.Contains(t.part, []byte(`"level":"INFO"`)) {
			t.lines = append(t.lines, string(t.part))
			t.lines = t.lines[max(0, len(t.lines)-tailLines):]
		}
		t.part = t.part[:0]
	}
	return len(p), nil
}

// String returns them.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "")
}
