package door

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"mbserver/server/config"
)

// tableSize is for how many descriptors the kernel has room in the process's table (proc(5)).
func tableSize(t *testing.T) (size int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, at, found := strings.Cut(string(status), "\nFDSize:")
	if _, err := fmt.Sscan(at, &size); err != nil || !found {
		t.Fatalf("/proc/self/status has no FDSize: %v", err)
	}
	return size
}

// A door that is open has room for the descriptors of all who may come: the table does not grow,
// which is some 15 ms each time, while a crowd comes.
func TestTableHasGrown(t *testing.T) {
	const connections = 5000
	var memory int64
	open(t, func(c *config.Config) {
		c.Connection.MaxConcurrent = connections
		memory = c.Memory.Limit
	})
	want := min(connections, filesMax(), int(memory/fileMemory))
	if size := tableSize(t); size < want {
		t.Errorf("the table has room for %d descriptors, want %d", size, want)
	}
}

// The table is no larger than the connections need that files and memory allow.
func TestTableIsBounded(t *testing.T) {
	const connections, others = 100_000, 5000
	for _, c := range []struct {
		files  int
		memory int64
		want   int
	}{
		{1 << 30, 8 << 30, connections + others},
		{20_000, 8 << 30, 20_000},
		{1 << 30, 64 << 20, 64 << 10},
	} {
		if got := tableOf(connections+others, c.files, c.memory); got != c.want {
			t.Errorf("for %d files and %d bytes: %d, want %d", c.files, c.memory, got, c.want)
		}
	}
}
