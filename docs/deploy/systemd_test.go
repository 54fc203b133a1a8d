package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mbserver/server/config"
)

// settings are those of a unit file, by name; those that come again follow behind a space.
func settings(t *testing.T, path string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for line := range strings.Lines(text(t, path)) {
		if name, value, is := strings.Cut(strings.TrimSpace(line), "="); is && line[0] != '#' {
			all[name] = strings.TrimSpace(all[name] + " " + value)
		}
	}
	return all
}

// systemd has nothing to say against the units, and thinks well of what the service may do.
func TestUnitsVerify(t *testing.T) {
	dir := t.TempDir()
	units, err := filepath.Glob("systemd/mb-server*.so*")
	if err != nil || len(units) != 4 {
		t.Fatalf("%q, %v", units, err)
	}
	units = append(units, "systemd/mb-server.service")
	arguments := []string{"verify", "--man=no"}
	for _, unit := range units {
		// It asks whether the program is there.
		there := strings.ReplaceAll(text(t, unit), "/usr/bin/mb-server", "/bin/true")
		path := filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(path, []byte(there), 0o600); err != nil {
			t.Fatal(err)
		}
		arguments = append(arguments, path)
	}
	cmd := command(t, "systemd-analyze", arguments...)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	const exposure = "15" // of 100: 1.5
	cmd = command(t, "systemd-analyze", "security", "--offline=true", "--no-pager",
		"--threshold="+exposure, "docs/deploy/systemd/mb-server.service")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// The times fit the node's, and the sockets are those that it listens on by itself.
func TestUnitsFitTheNode(t *testing.T) {
	cfg := config.Default()
	service := settings(t, "systemd/mb-server.service")
	stop, err := strconv.Atoi(service["TimeoutStopSec"])
	if least := cfg.Shutdown.Timeout + 2*time.Second; err != nil ||
		time.Duration(stop)*time.Second <= least {
		t.Errorf("TimeoutStopSec=%s, want more than %v", service["TimeoutStopSec"], least)
	}
	if files, err := strconv.Atoi(service["LimitNOFILE"]); err != nil ||
		files < cfg.Connection.MaxConcurrent+1000 {
		t.Errorf("LimitNOFILE=%s for %d connections",
			service["LimitNOFILE"], cfg.Connection.MaxConcurrent)
	}
	for name, port := range map[string]int{
		"ws": cfg.Ports.WS, "wss": cfg.Ports.WSS, "tcp": cfg.Ports.TCP, "tls": cfg.Ports.TLS,
	} {
		socket := settings(t, "systemd/mb-server-"+name+".socket")
		p := strconv.Itoa(port)
		if socket["FileDescriptorName"] != name || socket["Service"] != "mb-server.service" ||
			socket["ListenStream"] != "127.0.0.1:"+p+" [::1]:"+p {
			t.Errorf("%s: %v", name, socket)
		}
	}
	user := regexp.MustCompile(`(?m)^u (\S+) `).FindStringSubmatch(
		text(t, "systemd/mb-server.sysusers"))
	if user == nil || user[1] != service["User"] {
		t.Errorf("the user is %q, and that of the service %q", user, service["User"])
	}
}
