//go:build linux

package bench

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
)

// equip finds everything that the run needs beside this program, before it begins: who asked for a
// peer or for a scenario gets its figures or an error, not a table without them. It notes what each
// target is.
func (r *runner) equip(scenarios []Scenario) error {
	r.programs = map[string]string{}
	var missing []string
	for _, target := range r.Targets {
		if !r.anyFits(scenarios, target) {
			if target != "raw" { // which is beside the node unasked
				missing = append(missing, fmt.Sprintf("%s has none of these scenarios over %s",
					target, strings.Join(r.Transports, " or ")))
			}
			continue
		}
		about, err := r.find(target)
		if err != nil {
			missing = append(missing, err.Error())
			continue
		}
		if slices.ContainsFunc(scenarios, func(s Scenario) bool { return s.across }) {
			bus, err := r.findBus(target)
			if err != nil {
				missing = append(missing, err.Error())
				continue
			}
			about += bus
		}
		r.results.Settings.Servers[target] = about
	}
	if slices.ContainsFunc(scenarios, func(s Scenario) bool { return s.kind == kindTraffic }) &&
		slices.ContainsFunc(r.Targets, func(t string) bool { return loopsOf(t) > 0 }) {
		if _, _, err := readTraffic(r.Traffic, trafficRound); err != nil {
			missing = append(missing, fmt.Sprintf("the messages of scenario traffic: %v "+
				"(name the file with --traffic, or the other scenarios)", err))
		}
	}
	if len(missing) > 0 {
		return errors.New(strings.Join(missing, "; "))
	}
	return nil
}

func (r *runner) anyFits(scenarios []Scenario, target string) bool {
	for _, transport := range r.Transports {
		w := wireFor(target, transport)
		if w != nil && slices.ContainsFunc(scenarios, func(s Scenario) bool {
			return r.fits(s, target, transport, w)
		}) {
			return true
		}
	}
	return false
}

// find notes which program is started for target, and returns what that is: name and version.
func (r *runner) find(target string) (about string, err error) {
	var path string
	loops := loopsOf(target)
	switch {
	case loops > 0 && r.Address != nil:
		return "a node that ran already", nil
	case loops > 0:
		if path, err = r.findNode(); err == nil {
			r.programs[node] = path
			about = fmt.Sprintf("%s, loops=%d, GOMAXPROCS=%d",
				said(path, "--version", `(.+)`), loops, r.Procs)
		}
	case target == "raw":
		if len(r.Hub) == 0 {
			if path, err = os.Executable(); err == nil {
				r.Hub = []string{path, "bench", "hub"}
			}
		}
		about = "copies bytes and does nothing else; of the harness"
	case target == "redis":
		if path, err = inPath("redis-server"); err == nil {
			about = "Redis " + said(path, "--version", `v=(\S+)`)
		}
	case target == mqttBroker:
		if path, err = inPath(mqttBroker); err == nil {
			about = "Mosquitto " + said(path, "-h", `version (\S+)`) //nolint:misspell // its name
		}
	case target == "nats":
		path, about, err = r.built(target, "nats-server", "github.com/nats-io/nats-server/v2")
	case target == "centrifuge":
		path, about, err = r.built(target, "Centrifuge", "github.com/centrifugal/centrifuge")
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", target, err)
	}
	if loops == 0 {
		r.programs[target] = path
	}
	return about, nil
}

// findNode looks beside this program, then in PATH, unless the node is named.
func (r *runner) findNode() (string, error) {
	const name = "mb-server"
	if r.Node != "" {
		_, err := os.Stat(r.Node)
		return r.Node, err
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside this program nor in PATH: name it with --node",
			name)
	}
	return path, nil
}

// inPath finds a server in PATH or where Debian puts daemons.
func inPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	path := filepath.Join("/usr/sbin", name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not in PATH: make bench-peers installs it", name)
	}
	return path, nil
}

// built finds a peer that make bench-peers has built, and the version of the module in it.
func (r *runner) built(target, name, module string) (path, about string, err error) {
	path = filepath.Join(r.Peers, target)
	if _, err := os.Stat(path); err != nil {
		return "", "", fmt.Errorf("there is no %s: make bench-peers builds it, "+
			"--peers names its folder", path)
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return path, name + " " + unknownVersion, nil
	}
	return path, name + " " + versionOf(module, info), nil
}

func versionOf(module string, info *debug.BuildInfo) string {
	for _, m := range info.Deps {
		if m.Path == module {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return unknownVersion
}

const unknownVersion = "of an unknown version"

// said runs a program that tells its version, and returns the part of that which pattern has in
// parentheses.
func said(path, flag, pattern string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// A help text may come with any exit code.
	out, _ := exec.CommandContext(ctx, path, flag).CombinedOutput()
	found := regexp.MustCompile(pattern).FindSubmatch(out)
	if found == nil {
		return unknownVersion
	}
	return string(bytes.TrimSpace(found[1]))
}
