package blackbox

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// Loops have threads of their own, and all else that the process does runs behind them: what the
// collector, lists and the log want of a busy processor is not taken from the loops.
func TestLoopsRunBeforeTheRest(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("threads of a process all run alike here")
	}
	const loops = 2
	n := startNode(t, "loops="+strconv.Itoa(loops))
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", n.pid))
	if err != nil {
		t.Fatal(err)
	}
	least, count := 0, map[int]int{}
	for _, task := range tasks {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", n.pid, task.Name()))
		if err != nil {
			continue // It has ended.
		}
		// proc_pid_stat(5): the niceness is the 17th value behind the name.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		nice, err := strconv.Atoi(fields[16])
		if err != nil {
			t.Fatal(err)
		}
		count[nice]++
		if least = min(least, nice); len(count) == 1 {
			least = nice
		}
	}
	if count[least] != loops || len(count) != 2 {
		t.Errorf("threads by niceness: %v, want %d that run before all others", count, loops)
	}
}
