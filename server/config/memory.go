package config

import (
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/shirou/gopsutil/v4/mem"
)

// fallbackMemory stands in, in bytes, on a machine that does not tell how much memory it has.
const fallbackMemory = 1 << 30

// defaultMemoryLimit is memoryShare percent of what the machine or the container has, read once.
var defaultMemoryLimit = sync.OnceValue(func() int64 {
	physical := uint64(fallbackMemory)
	if m, err := mem.VirtualMemory(); err == nil && m.Total > 0 {
		physical = m.Total
	}
	return int64(availableMemory(os.DirFS("/"), physical) / 100 * memoryShare)
})

// availableMemory returns the smallest of the physical memory and the limits of the process's
// control groups, in bytes. root is the file system's root. A limit of any parent group binds too,
// so every level up to the root is read.
func availableMemory(root fs.FS, physical uint64) uint64 {
	least := min(physical, math.MaxInt64)
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return least
	}
	for line := range strings.Lines(string(groups)) {
		// cgroups(7): hierarchy-ID:controller-list:path; version 2 has an empty controller list.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[1] == "":
			least = min(least, groupLimit(root, "sys/fs/cgroup", parts[2], "memory.max"))
		case hasController(parts[1], "memory"):
			least = min(least,
				groupLimit(root, "sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes"))
		}
	}
	return least
}

// hasController reports whether a comma-separated controller list names one.
func hasController(list, name string) bool {
	for c := range strings.SplitSeq(list, ",") {
		if c == name {
			return true
		}
	}
	return false
}

// groupLimit returns the smallest limit from a group up to the mount. Inside a container the
// group's path may not exist below the mount; the mount itself is then the container's group.
func groupLimit(root fs.FS, mount, group, file string) uint64 {
	least := uint64(math.MaxUint64)
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		b, err := fs.ReadFile(root, path.Join(mount, dir, file))
		if err == nil {
			// "max" is no number: no limit at this level.
			n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
			if err == nil && n > 0 {
				least = min(least, n)
			}
		}
		if dir == "/" {
			return least
		}
	}
}
