package deploy

import (
	"debug/elf"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// instruction returns what stands behind a word of the container's file, the only time that it
// comes.
func instruction(t *testing.T, file, word string) string {
	t.Helper()
	all := regexp.MustCompile(`(?m)^`+word+` (.*)$`).FindAllStringSubmatch(file, -1)
	if len(all) != 1 {
		t.Fatalf("%d times %s", len(all), word)
	}
	return all[0][1]
}

// words reads a command in the form of a list.
func words(t *testing.T, list string) (all []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(list), &all); err != nil || len(all) == 0 {
		t.Fatalf("%s: %v", list, err)
	}
	return all
}

// The steps of the container's file, as plain commands: what it builds needs nothing beside it,
// runs as the user and in the environment that it names, and its health check sees whether it
// serves.
func TestContainer(t *testing.T) {
	t.Parallel()
	file, image := text(t, "container/Dockerfile"), open(t)
	inside := func(path string) string { return filepath.Join(image, path) }

	run(t, "sh", "-c", strings.ReplaceAll(instruction(t, file, "RUN"), "/out/", inside("out")+"/"))
	from := strings.Fields(instruction(t, file, "COPY --from=build"))
	to := from[len(from)-1]
	if err := os.MkdirAll(inside(to), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range from[:len(from)-1] {
		run(t, "cp", inside(path), inside(to))
	}
	entry := words(t, instruction(t, file, "ENTRYPOINT"))
	_, check, _ := strings.Cut(instruction(t, file, "HEALTHCHECK"), " CMD ")
	health := words(t, check)
	for _, path := range []string{entry[0], health[0]} {
		program, err := elf.Open(inside(path))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = program.Close() }() // it was read
		for _, p := range program.Progs {
			if p.Type == elf.PT_INTERP {
				t.Errorf("%s is not static", path)
			}
		}
	}

	free := ports(t, 3)
	node := command(t, inside(entry[0]), entry[1:]...)
	node.Dir = "/"
	node.Env = append(strings.Fields(instruction(t, file, "ENV")),
		"WS_PORT="+free[0], "TCP_PORT="+free[1]) // those of the image may be taken here
	for i, e := range node.Env {
		node.Env[i] = strings.ReplaceAll(e, ":3002", ":"+free[2])
	}
	if user := instruction(t, file, "USER"); user != "65534:65534" {
		t.Errorf("the user is %s", user)
	}
	if os.Geteuid() == 0 {
		node.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: 65534, Gid: 65534},
		}
	}
	healthy := func() bool {
		cmd := command(t, inside(health[0]), health[1:]...)
		cmd.Env = []string{"MB_SERVER=tcp://127.0.0.1:" + free[1]}
		return cmd.Run() == nil
	}
	if healthy() {
		t.Error("it is healthy before it runs")
	}
	start(t, node)
	eventually(t, "the container is healthy", healthy)
}
