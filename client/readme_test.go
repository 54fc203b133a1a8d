package client_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mbserver/client/clienttest"
)

// The Go program in the README runs as pasted into a fresh module.
func TestReadmeProgram(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, found := strings.Cut(string(readme), "```go\n")
	program, _, closed := strings.Cut(program, "```")
	if !found || !closed {
		t.Fatal("README.md has no block of Go")
	}
	b, err := clienttest.New(clienttest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	const address = "tcp://localhost:3001"
	if !strings.Contains(program, address) {
		t.Fatalf("the program does not dial %s", address)
	}
	program = strings.Replace(program, address, b.URL("tcp"), 1)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	run := func(arguments ...string) string {
		cmd := exec.Command("go", arguments...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %v: %v\n%s", arguments, err, out)
		}
		return string(out)
	}
	// As the README says; what go mod tidy would look up stands in our go.sum.
	run("mod", "init", "example.org/pasted")
	sums, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600); err != nil {
		t.Fatal(err)
	}
	run("mod", "edit", "-require", "mbserver@v0.0.0", "-replace", "mbserver="+root)
	program = run("run", ".")
	if want := "weather.berlin: sunny\n"; program != want {
		t.Errorf("it prints %q, want %q", program, want)
	}
}
