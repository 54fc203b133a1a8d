//go:build linux

package bench

import (
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// What is missing ends a run before it begins, all of it in one message.
func TestMissingFailsTheRun(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	here := short(t)
	here.Node = os.Args[0]
	for name, c := range map[string]struct {
		spoil func(o *Options)
		want  []string
	}{
		"peers": {func(o *Options) {
			o.Scenarios, o.Peers = []string{"fan-out/1"}, t.TempDir()
			o.Targets = []string{"raw", "mb", "nats", "centrifuge"}
		}, []string{"nats: there is no ", "centrifuge: there is no ", "make bench-peers"}},
		"a node": {func(o *Options) {
			o.Scenarios, o.Node = []string{"fan-out/1"}, filepath.Join(t.TempDir(), "none")
		}, []string{"mb: ", "no such file"}},
		"traffic": {func(o *Options) {
			o.Scenarios = []string{"fan-out/1", "traffic"}
			o.Traffic, o.Targets = filepath.Join(t.TempDir(), "none"), []string{"raw", "mb"}
		}, []string{"scenario traffic", "no such file", "--traffic"}},
		"traffic of something else": {func(o *Options) {
			o.Scenarios, o.Traffic = []string{"traffic"}, "equip_test.go"
			o.Targets = []string{"raw", "mb"} // raw has no such scenario, and is no fault
		}, []string{"the messages of scenario traffic: equip_test.go, line 1"}},
		"no scenario that it has": {func(o *Options) {
			o.Scenarios, o.Targets = []string{"request/1x1"}, []string{"mb", "centrifuge"}
			o.Peers = t.TempDir()
		}, []string{"centrifuge has none of these scenarios over tcp or ws"}},
		"no transport that it has": {func(o *Options) {
			o.Targets, o.Transports = []string{"redis"}, []string{"ws"}
		}, []string{"redis has none of these scenarios over ws"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := here
			c.spoil(&o)
			r, err := Run(context.Background(), o)
			if err == nil || r != nil {
				t.Fatalf("results %+v, error %v", r, err)
			}
			if strings.Contains(err.Error(), "raw") {
				t.Errorf("the floor is no fault: %q", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %q", want, err)
				}
			}
		})
	}
}

// A table of nothing is no result.
func TestNothingMeasuredFailsTheRun(t *testing.T) {
	o := short(t, "start")
	o.Address = map[string]string{"tcp": "127.0.0.1:1", "ws": "127.0.0.1:1"}
	r, err := Run(context.Background(), o)
	if err == nil || r == nil || len(r.Notes) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Targets are named by their versions, not by their files.
func TestTargetsSayTheirVersion(t *testing.T) {
	dir := t.TempDir()
	for name, line := range map[string]string{
		"redis-server": "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64",
		mqttBroker:     mqttBroker + " version 2.0.11\n\n" + mqttBroker + " is an MQTT broker.",
		"mb-server":    "mb-server 0.1.0 (go1.26.8, linux/amd64)",
	} {
		script := "#!/bin/sh\ncat <<END\n" + line + "\nEND\nexit 3\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	r := &runner{Options: short(t), programs: map[string]string{}}
	r.Node = filepath.Join(dir, "mb-server")
	for target, want := range map[string]string{
		"redis":    "Redis 7.0.15",
		mqttBroker: "Mosquitto 2.0.11", //nolint:misspell // its name
		"mb-2":     "mb-server 0.1.0 (go1.26.8, linux/amd64), loops=2, GOMAXPROCS=1",
	} {
		if got, err := r.find(target); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", target, got, err, want)
		}
	}
	// A Go program has the versions of its modules in it.
	info := &debug.BuildInfo{Deps: []*debug.Module{
		{Path: "a.example/other", Version: "v9.0.0"}, {Path: "a.example/nats", Version: "v2.15.2"},
	}}
	if got := versionOf("a.example/nats", info); got != "2.15.2" {
		t.Errorf("a module: %q", got)
	}
	if got := versionOf("a.example/none", info); got != unknownVersion {
		t.Errorf("no module: %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "nats"), []byte("no program"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.Peers = dir
	if got, err := r.find("nats"); err != nil || got != "nats-server "+unknownVersion {
		t.Errorf("no Go program: %q, %v", got, err)
	}
}
