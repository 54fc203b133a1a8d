package metrics

import (
	"math"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	hostinfo "github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/process"
)

// processStarted is close enough to when the operating system started the process: packages are
// initialised first.
var processStarted = time.Now()

// machinePeriod is the shortest time between two readings of the machine,
// and so the least that a CPU share spans.
const machinePeriod = time.Second

// Machine reads what the process and its computer use, when somebody asks: an idle node reads
// nothing. Any goroutine.
type Machine struct {
	// Guarded by mu.
	mu      sync.Mutex
	last    MachineSample
	process busyTime
	system  busyTime
	cores   map[string]busyTime // by the operating system's name of the core
}

// MachineSample is one reading. Shares are fractions of 0 to 1; what the system does not tell is 0.
type MachineSample struct {
	at                   time.Time
	processCPU           float64 // share of all cores
	processMemory        float64 // bytes, resident
	processMemoryPercent float64
	processUptime        float64 // seconds
	openFiles            float64 // descriptors of the process
	filesLimit           float64 // how many it may have
	systemCPU            float64
	systemMemory         float64 // bytes in use
	systemMemoryPercent  float64
	systemUptime         float64 // seconds
	Cores                []Core
}

// Core is one processor core: its name at the operating system ("0", "1", …) and its busy share.
type Core struct {
	Name string // "0", "1", …
	CPU  float64
}

// busyTime is a clock of work: how many of the passed seconds were busy. The zero value is the
// start of the clock.
type busyTime struct{ busy, total float64 }

// advance moves the clock to a new reading and returns the busy share of the time between.
func (b *busyTime) advance(to busyTime) float64 {
	d := busyTime{to.busy - b.busy, to.total - b.total}
	*b = to
	if d.total <= 0 || math.IsNaN(d.busy) {
		return 0
	}
	return min(max(d.busy/d.total, 0), 1)
}

// Read returns what was true within the last second. CPU shares span the time since the reading
// before; those of the first reading the life of the process and of the system.
func (m *Machine) Read(now time.Time) MachineSample {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.last.at.IsZero() && now.Sub(m.last.at) < machinePeriod {
		return m.last
	}
	s := MachineSample{at: now, processUptime: max(now.Sub(processStarted).Seconds(), 0)}
	if total, err := cpu.Times(false); err == nil && len(total) > 0 {
		s.systemCPU = m.system.advance(busyOf(total[0]))
	}
	if cores, err := cpu.Times(true); err == nil {
		s.Cores = m.readCores(cores)
	}
	if memory, err := mem.VirtualMemory(); err == nil {
		s.systemMemory = float64(memory.Used)
		s.systemMemoryPercent = share(s.systemMemory, float64(memory.Total))
		m.readProcess(&s, float64(memory.Total))
	}
	if seconds, err := hostinfo.Uptime(); err == nil {
		s.systemUptime = float64(seconds)
	}
	m.last = s
	return s
}

func (m *Machine) readCores(times []cpu.TimesStat) []Core {
	if m.cores == nil {
		m.cores = make(map[string]busyTime, len(times))
	}
	samples := make([]Core, 0, len(times))
	for _, t := range times {
		b := m.cores[t.CPU]
		samples = append(samples, Core{strings.TrimPrefix(t.CPU, "cpu"), b.advance(busyOf(t))})
		m.cores[t.CPU] = b
	}
	return samples
}

func (m *Machine) readProcess(s *MachineSample, memoryTotal float64) {
	p, err := process.NewProcess(int32(os.Getpid()))
	if err != nil {
		return
	}
	if t, err := p.Times(); err == nil {
		available := s.processUptime * float64(runtime.NumCPU())
		s.processCPU = m.process.advance(busyTime{t.User + t.System, available})
	}
	s.openFiles = countFiles(p)
	if limits, err := p.Rlimit(); err == nil {
		for _, l := range limits {
			if l.Resource == process.RLIMIT_NOFILE {
				s.filesLimit = float64(l.Soft)
			}
		}
	}
	if memory, err := p.MemoryInfo(); err == nil {
		s.processMemory = float64(memory.RSS)
		s.processMemoryPercent = share(s.processMemory, memoryTotal)
	}
}

// countFiles counts the open descriptors: where the kernel tells how many there are (Linux 6.2 and
// newer), without reading the list, which takes long when there are very many.
func countFiles(p *process.Process) float64 {
	if info, err := os.Stat("/proc/self/fd"); err == nil && info.Size() > 0 {
		return float64(info.Size())
	}
	n, err := p.NumFDs()
	if err != nil {
		return 0
	}
	return float64(n)
}

// busyOf sums a reading of the system's clocks. Linux counts guests' time in the user's as well.
func busyOf(t cpu.TimesStat) busyTime {
	total := t.User + t.System + t.Idle + t.Nice + t.Iowait + t.Irq + t.Softirq + t.Steal
	return busyTime{total - t.Idle - t.Iowait, total}
}

func share(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(part/whole, 1)
}
