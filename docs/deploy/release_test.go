package deploy

import (
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// The archive of a release is the same twice, has what it should, and its programs run.
func TestRelease(t *testing.T) {
	t.Parallel()
	var sums []string
	var dir string
	for range 2 {
		bin := t.TempDir()
		run(t, "make", "release", "BIN="+bin, "RELEASE=linux/"+runtime.GOARCH)
		dir = filepath.Join(bin, "release")
		sums = append(sums, text(t, filepath.Join(dir, "SHA256SUMS")))
	}
	if sums[0] != sums[1] || sums[0] == "" {
		t.Errorf("two builds differ:\n%s%s", sums[0], sums[1])
	}
	check := command(t, "sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = dir
	output(t, check)
	archives, _ := filepath.Glob(filepath.Join(dir, "*.tar.gz")) // The pattern is good.
	if len(archives) != 1 {
		t.Fatalf("%q", archives)
	}
	name := strings.TrimSuffix(filepath.Base(archives[0]), ".tar.gz")
	run(t, "tar", "-C", dir, "-xzf", archives[0])
	for file, has := range map[string]string{
		"LICENSE": "Apache License", "NOTICES": "gnet", "README.md": "# MB Server Node",
		"CHANGELOG.md": "# Changelog", "man/man1/mb-pub.1": "NAME", "completions/bash/mb": "bash",
		"deploy/systemd/mb-server.service": "ExecStart",
	} {
		if !strings.Contains(text(t, filepath.Join(dir, name, file)), has) {
			t.Errorf("%s has no %q", file, has)
		}
	}
	for _, program := range []string{"mb", "mb-server"} {
		said := run(t, filepath.Join(dir, name, program), "--version")
		version := regexp.MustCompile(`^` + program + ` (\S+) `).FindStringSubmatch(said)
		if version == nil || !strings.HasPrefix(name, "mb-server-"+version[1]+"-linux-") {
			t.Errorf("%s in %s says %q", program, name, said)
		}
	}
}
