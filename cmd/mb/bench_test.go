package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbserver/bench"
)

func writeResults(t *testing.T, values ...float64) string {
	t.Helper()
	r := &bench.Results{Format: 1, Measures: []bench.Measure{{
		Scenario: "fan-out/1", Target: "mb", Transport: "tcp", Payload: 128,
		Metric: "server CPU", Unit: "ns", Values: values,
	}}}
	path := filepath.Join(t.TempDir(), "results.json")
	if err := toFile(path, r.WriteJSON); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBenchCompare(t *testing.T) {
	older, newer := writeResults(t, 50, 51, 52, 53), writeResults(t, 60, 61, 62, 63)
	i := start(t, "", "bench", "compare", older, newer)
	i.wait(exitOK)
	text := i.stdout.String()
	if !strings.Contains(text, "worse") || !strings.Contains(text, "+19.4%") {
		t.Errorf("%s", text)
	}
	start(t, "", "bench", "compare", "--max-worse", "10", older, newer).wait(exitError)
	start(t, "", "bench", "compare", "--max-worse", "30", older, newer).wait(exitOK)
	start(t, "", "bench", "compare", "--max-worse", "10", newer, older).wait(exitOK)
	start(t, "", "bench", "compare", older, filepath.Join(t.TempDir(), "none.json")).wait(exitError)
	start(t, "", "bench", "compare", older).wait(exitUsage)
}

func TestBenchReport(t *testing.T) {
	dir := t.TempDir()
	page, svg := filepath.Join(dir, "page.html"), filepath.Join(dir, "cpu.svg")
	results := writeResults(t, 1, 2, 3)
	start(t, "", "bench", "report", results, "--out", page, "--svg", svg).wait(exitOK)
	for path, want := range map[string]string{page: "<h1>Benchmark", svg: "<svg"} {
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %v, %d bytes", path, err, len(b))
		}
	}
	results = writeResults(t, 1)
	start(t, "", "bench", "report", results, "--out", page, "--svg", svg, "--metric", "colour").
		wait(exitError)
}

func TestBenchUsage(t *testing.T) {
	start(t, "", "bench", "start", "--server", "http://127.0.0.1:1").wait(exitUsage)
	start(t, "", "bench", "start", "--loops", "2", "--server", "tcp://127.0.0.1:1").
		wait(exitUsage).wantErr("--loops")
	start(t, "", "bench", "start", "--procs", "2", "--server", "tcp://127.0.0.1:1").
		wait(exitUsage).wantErr("--procs")
	start(t, "", "bench", "start", "--loops", "two").wait(exitUsage)
	start(t, "", "bench", "start", "--loops", "1,0").wait(exitError).wantErr("0 loops")
	start(t, "", "bench", "start", "--procs", "0").wait(exitError).wantErr("GOMAXPROCS")
	start(t, "", "bench", "start", "--targets", "nats", "--peers", t.TempDir()).
		wait(exitError).wantErr("make bench-peers")
	start(t, "", "bench", "nonsense").wait(exitUsage).wantErr("unknown scenario")
	start(t, "", "bench", "compear", "a", "b").wait(exitUsage).wantErr("did you mean compare?")
	start(t, "", "bench", "fan-uot/1").wait(exitUsage).wantErr("did you mean fan-out/1?")
	start(t, "", "bench", "start", "--targets", "nast").wait(exitUsage).
		wantErr("did you mean nats?")
	i := start(t, "", "bench", "list")
	i.wait(exitOK)
	if n := strings.Count(i.stdout.String(), "\n"); n != len(bench.Scenarios()) {
		t.Errorf("%d lines for %d scenarios", n, len(bench.Scenarios()))
	}
}

// Results are those of all files together.
func TestBenchGuardFiles(t *testing.T) {
	dir := t.TempDir()
	limits, micro := filepath.Join(dir, "limits.json"), filepath.Join(dir, "micro.txt")
	for path, text := range map[string]string{
		limits: `{"band":0.2,"micro":{},"macro":{},"twoLoopsAtMost":{"fan-out/1":3}}`,
		micro:  "pkg: mbserver/bench\nBenchmarkYardstick-2 10 100 ns/op\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one := writeResults(t, 100)
	two := func(cpu float64) string {
		cpuOf := bench.Measure{
			Scenario: "fan-out/1", Target: "mb-2", Transport: "tcp", Payload: 128,
			Metric: "server CPU", Unit: "ns", Values: []float64{cpu},
		}
		crossing := cpuOf
		crossing.Metric, crossing.Unit, crossing.Values = "crossing", "%", []float64{100}
		r := &bench.Results{Format: 1, Measures: []bench.Measure{cpuOf, crossing}}
		path := filepath.Join(t.TempDir(), "two.json")
		if err := toFile(path, r.WriteJSON); err != nil {
			t.Fatal(err)
		}
		return path
	}
	start(t, "", "bench", "guard", micro, one, two(290), "--limits", limits).wait(exitOK)
	start(t, "", "bench", "guard", micro, one, two(310), "--limits", limits).wait(exitError).
		wantErr("a limit is exceeded")
	start(t, "", "bench", "guard", micro, one, "--limits", limits).wait(exitError)
	start(t, "", "bench", "guard", micro, "--limits", limits).wait(exitUsage)
}

func TestBenchGuard(t *testing.T) {
	dir := t.TempDir()
	limits, micro := filepath.Join(dir, "limits.json"), filepath.Join(dir, "micro.txt")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(limits, `{"band":0.2,"micro":{"mbserver/codec.Parse":2},"macro":{}}`)
	measured := "pkg: mbserver/bench\nBenchmarkYardstick-2 10 100 ns/op\n" +
		"pkg: mbserver/codec\nBenchmarkParse-2 10 "
	write(micro, measured+"230 ns/op\n")
	results := writeResults(t, 1)
	start(t, "", "bench", "guard", micro, results, "--limits", limits).wait(exitOK)
	write(micro, measured+"250 ns/op\n")
	start(t, "", "bench", "guard", micro, results, "--limits", limits).wait(exitError).
		wantErr("a limit is exceeded")
	start(t, "", "bench", "guard", micro, results, "--limits", limits, "--renew").wait(exitOK)
	start(t, "", "bench", "guard", micro, results, "--limits", limits).wait(exitOK)
}
