//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/mem"
	"golang.org/x/sys/unix"
)

// runner is one run of the harness.
type runner struct {
	Options
	results  *Results
	programs map[string]string // target to the file that is started for it
	cpus     unix.CPUSet       // of the servers
	shown    *certificate      // by the servers, over TLS; nil: no transport has it
}

// Run measures what o says, each repetition against a fresh server. The targets of one scenario
// take turns, so that a machine that grows slower burdens all of them. The results so far are
// returned with an error.
func Run(ctx context.Context, o Options) (*Results, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	scenarios, err := selected(o.Scenarios)
	if err != nil {
		return nil, err
	}
	o.Targets = o.spread()
	r := &runner{Options: o}
	r.results = &Results{
		Format: resultFormat, Machine: machine(o.Version),
		Started: time.Now().UTC().Truncate(time.Second),
	}
	r.results.Settings = Settings{
		DurationMs: o.Duration.Milliseconds(), WarmupMs: o.Warmup.Milliseconds(), Repeat: o.Repeat,
		ServerCore: o.ServerCore, LoadCore: o.LoadCore, Servers: map[string]string{},
	}
	if err := r.prepare(scenarios); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(r.Transports, overTLS) && r.Address == nil {
		if r.shown, err = newCertificate(); err != nil {
			return nil, err
		}
		defer r.shown.remove()
	}
	if r.LoadCore >= 0 {
		undo, err := pinSelf(r.LoadCore)
		if err != nil {
			return nil, err
		}
		defer undo()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for _, s := range scenarios {
		for _, payload := range r.Payloads {
			if s.oneSize && payload != r.Payloads[0] {
				continue
			}
			if err := r.scenario(ctx, s, payload); err != nil {
				return r.results, err
			}
		}
	}
	if len(r.results.Measures) == 0 {
		return r.results, errors.New("nothing of it could be measured")
	}
	return r.results, nil
}

// prepare finds the cores, descriptors and programs that the run needs.
func (r *runner) prepare(scenarios []Scenario) error {
	if r.Address != nil {
		r.ServerCore = -1
	}
	if n := runtime.NumCPU(); r.ServerCore >= n || r.LoadCore >= n {
		r.note("fewer than %d cores: nothing is pinned", max(r.ServerCore, r.LoadCore)+1)
		r.ServerCore, r.LoadCore = -1, -1
		r.results.Settings.ServerCore, r.results.Settings.LoadCore = -1, -1
	}
	// Asked before this program is pinned: a server that is not must not inherit that.
	if err := unix.SchedGetaffinity(0, &r.cpus); err != nil {
		return fmt.Errorf("affinity: %w", err)
	}
	if r.ServerCore >= 0 {
		r.cpus = only(r.ServerCore)
	}
	// Set by hand, so that it is handed down to the servers.
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("file descriptors: %w", err)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("file descriptors: %w", err)
	}
	if limit.Cur < 6000 {
		r.note("%d file descriptors: scenarios with 5000 connections fail (ulimit -n)", limit.Cur)
	}
	return r.equip(scenarios)
}

// scenario measures one scenario against every target that has it.
func (r *runner) scenario(ctx context.Context, s Scenario, payload int) error {
	type turn struct {
		target, transport string
		left              bool
	}
	var turns []turn
	for _, target := range r.Targets {
		for _, transport := range r.Transports {
			w := wireFor(target, transport)
			if w != nil && r.fits(s, target, transport, w) {
				turns = append(turns, turn{target: target, transport: transport})
			}
		}
	}
	for repetition := range r.Repeat {
		for i := range turns {
			t := &turns[i]
			if t.left {
				continue
			}
			r.say("%s: %s %s, %d bytes, %d of %d",
				s.Name, t.target, t.transport, payload, repetition+1, r.Repeat)
			start := r.start
			if s.across {
				start = r.startNodes
			}
			server, err := start(ctx, t.target, t.transport)
			if err != nil {
				return fmt.Errorf("%s, %s over %s: %w", s.Name, t.target, t.transport, err)
			}
			err = r.once(ctx, s, server, t.target, t.transport, payload)
			switch {
			case err == nil:
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, errAbsent):
				r.note("%s, %s over %s: %v", s.Name, t.target, t.transport, err)
				t.left = true
			case loopsOf(t.target) == 0:
				// A peer that cannot do it is a finding, not the end of the run.
				r.note("%s, %s over %s failed: %v", s.Name, t.target, t.transport, err)
				t.left = true
			default:
				return fmt.Errorf("%s, %s over %s: %w", s.Name, t.target, t.transport, err)
			}
		}
	}
	return nil
}

func (r *runner) fits(s Scenario, target, transport string, w wire) bool {
	if _, several := busOf(target); s.across && (!several || r.Address != nil) {
		return false
	}
	if s.kind == kindHandshake && !overTLS(transport) || s.kind == kindStorm && overTLS(transport) {
		return false // Each is for the connections that the other is not for.
	}
	if s.kind == kindTraffic && transport == withDeflate {
		return false // Its messages are of many lengths, which some other may compress to as well.
	}
	if _, asks := w.(asker); s.kind == kindRequest && !asks {
		return false
	}
	if s.kind == kindStart && target == "raw" {
		return false // It starts as a part of this program.
	}
	return !s.mbOnly || loopsOf(target) > 0
}

func (r *runner) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	r.results.Notes = append(r.results.Notes, line)
	r.say("%s", line)
}

// once is one repetition of a scenario against one target, whose server it stops.
func (r *runner) once(
	ctx context.Context, s Scenario, server *process, target, transport string, payload int,
) error {
	defer server.stop()
	runtime.GC() // What the last repetition left.
	w := wireFor(target, transport)
	l, err := newLoop(ctx, w)
	if err != nil {
		return err
	}
	defer l.close()
	t := &try{
		runner: r, s: s, server: server, loop: l, wire: w, payload: payload,
		at:   server.at,
		into: Measure{Scenario: s.Name, Target: target, Transport: transport, Payload: payload},
	}
	return t.run()
}

// try is one repetition.
type try struct {
	*runner
	s       Scenario
	server  *process
	loop    *loop
	wire    wire
	payload int
	at      place
	into    Measure
}

func (t *try) run() error {
	switch t.s.kind {
	case kindFan, kindLone, kindPairs, kindFanIn, kindWild, kindTraffic:
		return t.fan()
	case kindRequest:
		return t.requests()
	case kindLatency:
		return t.latency()
	case kindSlow:
		return t.slow()
	case kindIdle:
		return t.idle()
	case kindStorm:
		return t.storm()
	case kindSerial:
		return t.serial()
	case kindHandshake:
		return t.handshakes()
	case kindStart:
		return t.begin()
	}
	return fmt.Errorf("scenario %s has no kind", t.s.Name)
}

// figure keeps one value.
func (t *try) figure(metric, unit string, higher bool, value float64) {
	m := t.into
	m.Metric, m.Unit, m.Higher = metric, unit, higher
	t.results.add(m, value)
}

// meter reads clocks around a measurement.
type meter struct {
	t      *try
	began  time.Time
	server used
	load   int64
}

func (t *try) meter() meter {
	return meter{t: t, server: t.server.used(), load: threadCPU(), began: time.Now()}
}

// stop keeps the figures of count messages.
func (m meter) stop(count int) error {
	took := time.Since(m.began)
	load := threadCPU() - m.load
	if count == 0 {
		return errors.New("nothing was delivered in the whole measurement: it is too short")
	}
	m.t.spent(m.server, count)
	m.t.figure(metricRate, "/s", true, float64(count)/took.Seconds())
	m.t.figure(metricLoad, "ns", false, float64(load)/float64(count))
	m.t.memory()
	return nil
}

func (t *try) memory() {
	if n := t.server.resident(); n > 0 {
		t.figure(metricMemory, "MiB", false, float64(n)/(1<<20))
	}
}

func machine(version string) Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Version: version}
	if info, err := cpu.Info(); err == nil && len(info) > 0 {
		m.CPU = info[0].ModelName
	}
	if v, err := mem.VirtualMemory(); err == nil {
		m.Memory = v.Total
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return m
}
