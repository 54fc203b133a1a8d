// Package blackbox holds the node to docs/protocol.md from outside: it builds the daemon, starts it
// as a process and speaks to it over real sockets, with a TCP client written by hand and a
// WebSocket implementation that is not ours. Nothing here imports the server. A test is named for
// the section of the contract it checks.
package blackbox

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Immutable after TestMain.
var (
	serverBinary string   // the daemon, cmd/mb-server
	toolBinary   string   // the tool, cmd/mb
	ours         identity // what nodes show on wss and tls
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run builds both programs once for all tests and removes them afterwards.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mb-blackbox-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // what stays lies in the system's temporary directory
	for _, program := range []struct {
		name string
		path *string
	}{{"mb-server", &serverBinary}, {"mb", &toolBinary}} {
		sources, _ := filepath.Glob(filepath.Join("..", "..", "cmd", program.name, "*.go"))
		if len(sources) == 0 {
			continue // the tests that need it say so
		}
		*program.path = filepath.Join(dir, program.name)
		arguments := []string{"build", "-o", *program.path}
		if raceEnabled {
			arguments = append(arguments, "-race")
		}
		build := exec.Command("go", append(arguments, "./cmd/"+program.name)...)
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building %s: %v\n%s", program.name, err, out)
			return 1
		}
	}
	if ours, err = selfSigned(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// readSources looks at the sources of the programs, so that go test, which knows nothing of them,
// takes them for an input of the test: it does not report an old result when they have changed.
// That counts only while a test runs, and so every test that starts a node sees to it.
var readSources = sync.OnceValue(func() error {
	root := filepath.Join("..", "..")
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		// To read a folder is enough: go test notes the sizes and times of what is in it.
		name := d.Name()
		if d.IsDir() && path != root &&
			(name[0] == '.' || name == "docs" || name == "node_modules" || isBuilt(name)) {
			return filepath.SkipDir
		}
		return err
	})
})

// isBuilt says whether a folder is for built programs, which .gitignore names.
func isBuilt(folder string) bool { return strings.HasPrefix(folder, "bin") }
