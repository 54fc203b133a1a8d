package blackbox

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ran is what a program said that has come to its end.
type ran struct {
	code           int
	stdout, stderr string
}

// runProgram runs a program to its end, which must come soon.
func runProgram(t testing.TB, env []string, program string, args ...string) ran {
	t.Helper()
	if err := readSources(); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(cleanEnvironment(), env...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second
	watch := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer watch.Stop()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ran{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// configuration writes a file and returns its path.
func configuration(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mb.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Nothing that a file says is passed over: what is no configuration ends the start with code 2 and
// its line, on standard error, whether it is only checked or not. The same holds for the
// environment and flags, which are named.
func TestS9_BadConfiguration(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		file      string
		env, args []string
		want      string // a regular expression
	}{
		{file: " ports.ws: 21000\nhost: \"::1\"\n", want: `mb\.yaml, line 2: `},
		{file: "---\n# x\n---\nports: {ws: 21000}\n", want: `line 3: .*second document`},
		{file: "{ports: {ws: 21000}} and more\n", want: `line 1: `},
		{file: "ports:\n\tws: 21000\n", want: `line 2: a tab`},
		{file: "port: {ws: 21000}\n", want: `line 1: port: .*did you mean ports\?`},
		{file: "ports:\n  ws: many\n", want: `line 2: ports\.ws = "many": must be a whole number`},
		{file: "host: 7\n", want: `line 1: host = 7: must be text`},
		{env: []string{"WS_PORT=0x10"}, want: `environment WS_PORT: ports\.ws = "0x10"`},
		{args: []string{"--ws-port", "0x10"}, want: `flag --ws-port: ports\.ws = "0x10"`},
		{args: []string{"--set", "port=1"}, want: `flag --set: port = "1": unknown key`},
		{args: []string{"--port", "1"}, want: `did you mean --ws-port\?`},
	} {
		args, want := row.args, regexp.MustCompile(row.want)
		if row.file != "" {
			args = append(args, "--config", configuration(t, row.file))
		}
		for _, more := range [][]string{nil, {"--check"}} {
			r := runProgram(t, row.env, serverBinary, slices.Concat(args, more)...)
			if r.code != 2 || r.stdout != "" || !want.MatchString(r.stderr) {
				t.Errorf("%q %q %q: %+v, want %s", row.file, row.env, args, r, row.want)
			}
		}
	}
}

// --check prints each value with where it came from, and is a file with the same effect.
func TestS9_CheckSaysWhereFrom(t *testing.T) {
	t.Parallel()
	path := configuration(t, "loops: \"03\"\nports:\n  wss: 0900\n")
	r := runProgram(t, []string{"TCP_PORT=0901", "CONFIG_PATH=" + path}, serverBinary, "--check",
		"--ws-port=0902", "--set", "rate.limit.topic.per.service.a.#=5")
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("%+v", r)
	}
	for _, want := range []string{
		"ports.ws: 902 # flag --ws-port\n",
		"ports.wss: 900 # file " + path + ", line 3\n",
		"ports.tcp: 901 # environment TCP_PORT\n",
		"ports.tls: 8001 # default\n",
		"rate.limit.topic.per.service: {\"a.#\": 5} # messages/s; flag --set\n",
		"logging.format: \"auto\" # default\n",
		"loops: 3 # loops; file " + path + ", line 1\n",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is not in\n%s", want, r.stdout)
		}
	}
	again := runProgram(t, nil, serverBinary, "--check", "--config", configuration(t, r.stdout))
	withoutOrigins := regexp.MustCompile(` #.*`)
	was := withoutOrigins.ReplaceAllString(r.stdout, "")
	if is := withoutOrigins.ReplaceAllString(again.stdout, ""); is != was {
		t.Errorf("printed\n%s\nwhich has the effect of\n%s\n%s", was, is, again.stderr)
	}
	r = runProgram(t, nil, serverBinary, "--check")
	loops := regexp.MustCompile(`(?m)^loops: [1-9]\d* # loops; default, as many as`)
	if !loops.MatchString(r.stdout) {
		t.Errorf("the loops in force are not told:\n%s", r.stdout)
	}
}

// A port in use is told with its key, its flag, and who uses it, for each listener.
func TestS9_PortInUse(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, used, _ := net.SplitHostPort(listener.Addr().String())
	for key, row := range map[string]struct{ flag, value string }{
		"ports.ws": {"--ws-port", used}, "ports.tcp": {"--tcp-port", used},
		"admin.address": {"--admin-address", "127.0.0.1:" + used},
	} {
		args := []string{"--ws-port=0", "--tcp-port=0", "--admin-address="}
		if key == "admin.address" {
			args[1] = "--tcp-port=" + strconv.Itoa(freePorts(t, 1)[0])
		}
		r := runProgram(t, nil, serverBinary, append(args, row.flag, row.value)...)
		who := fmt.Sprintf("127.0.0.1:%s is in use by %s (process %d)",
			used, filepath.Base(os.Args[0]), os.Getpid())
		if r.code != 1 || !strings.Contains(r.stdout, who) ||
			!strings.Contains(r.stdout, key+" ("+row.flag+") sets another") {
			t.Errorf("%s: %+v, want %s", key, r, who)
		}
	}
}

// What else keeps a listener from being bound is told in words too.
func TestS9_NoSuchAddress(t *testing.T) {
	t.Parallel()
	const host = "192.0.2.1" // for documentation, RFC 5737
	const want = "this machine has no address " + host + "; "
	r := runProgram(t, nil, serverBinary,
		"--host", host, "--allow-unsecure", "--admin-address=")
	if r.code != 1 || !strings.Contains(r.stdout, want+"host (--host)") {
		t.Errorf("%+v, want %s", r, want)
	}
	port := "--tcp-port=" + strconv.Itoa(freePorts(t, 1)[0])
	r = runProgram(t, nil, serverBinary, "--ws-port=0", port, "--admin-address", host+":3002")
	if r.code != 1 || !strings.Contains(r.stdout, want+"admin.address (--admin-address)") {
		t.Errorf("%+v, want %s", r, want)
	}
}

// A hang-up ends nothing, and is told; localhost is one in any case.
func TestS9_HangUp(t *testing.T) {
	t.Parallel()
	n := startNode(t, "host=LocalHost")
	c := n.dial(t, overTCP)
	for range 3 {
		if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the hang-up is told", func() bool {
		return strings.Contains(n.out.String(), `"msg":"hang-up: `)
	})
	c.ok("system.heartbeat", "")
	n.ends(0)
	if !strings.Contains(n.out.String(), "a second signal ends it at once") {
		t.Error("the first signal does not say what a second one does")
	}
}

// Both programs give the same version and commit, which the node logs when it is ready.
func TestS9_Versions(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^(mb|mb-server) (\S+) \(commit (\S+), (go\S+, \w+/\w+)\)\n$`)
	server := form.FindStringSubmatch(runProgram(t, nil, serverBinary, "--version").stdout)
	tool := form.FindStringSubmatch(runProgram(t, nil, toolBinary, "--version").stdout)
	if server == nil || tool == nil || server[1] != "mb-server" || tool[1] != "mb" ||
		strings.Join(server[2:], " ") != strings.Join(tool[2:], " ") {
		t.Errorf("%q and %q", server, tool)
	}
	n := startNode(t)
	if c := n.dial(t, overTCP); server != nil && c.initial["serverVersion"] != server[2] {
		t.Errorf("the welcome has version %v", c.initial["serverVersion"])
	}
}
