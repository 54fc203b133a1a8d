// Package deploy has only tests: what this folder gives, and what make builds of it, is used as its
// pages say.
package deploy

import (
	"bytes"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const root = "../.." // of the repository

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// readSources looks at the sources of the programs, so that go test takes them for an input of the
// test, and reports no old result when they have changed.
var readSources = sync.OnceValue(func() error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		if d.IsDir() && path != root && (name[0] == '.' && name != ".ci" ||
			strings.HasPrefix(name, "bin") || name == "node_modules") {
			return filepath.SkipDir
		}
		return err
	})
})

// command is a program that is run in the repository's root, without what would configure it from
// the developer's shell.
func command(t *testing.T, name string, arguments ...string) *exec.Cmd {
	t.Helper()
	if err := readSources(); err != nil {
		t.Fatal(err)
	}
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil { // only root has it in its path
		name = path
	} else if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("docs/deploy is tried with %s: apt-get install systemd mandoc dpkg", name)
	}
	cmd := exec.Command(name, arguments...)
	cmd.Dir = root
	for _, e := range os.Environ() {
		switch name, _, _ := strings.Cut(e, "="); {
		case strings.HasPrefix(name, "MB_"), name == "HOST", name == "MAKEFLAGS", name == "PATH":
		case strings.HasPrefix(name, "GO") && strings.HasSuffix(name, "FLAGS"):
		default:
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	return cmd
}

// run runs a program and returns what it prints on standard output.
func run(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	return output(t, command(t, name, arguments...))
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out, erred bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &erred
	if err := cmd.Run(); err != nil {
		t.Fatalf("%q: %v\n%s%s", cmd.Args, err, &out, &erred)
	}
	return out.String()
}

// text is what a file has.
func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// open is a folder of the test's into which every user may look.
func open(t *testing.T) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mb-deploy-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// ports are some that nobody listens on.
func ports(t *testing.T, count int) (free []string) {
	t.Helper()
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		free = append(free, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return free
}

// start runs a node until the test ends, at which it must end well.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // it has ended
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("%q: %v\n%s", cmd.Args, err, &out)
			}
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			t.Errorf("%q does not end", cmd.Args)
		}
	})
}

// eventually polls for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
