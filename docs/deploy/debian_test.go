package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// system is the root of a Debian system with nothing but a package manager's folders, which the
// machine's own works on.
type system struct {
	t    *testing.T
	root string
}

func newSystem(t *testing.T) system {
	t.Helper()
	s := system{t, open(t)}
	for _, dir := range []string{"etc", "var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		if err := os.MkdirAll(filepath.Join(s.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"var/lib/dpkg/status", "var/lib/dpkg/available"} {
		if err := os.WriteFile(filepath.Join(s.root, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// dpkg has the machine's package manager work on the system. The package's scripts run as programs
// of this machine, and are told the root.
func (s system) dpkg(arguments ...string) string {
	s.t.Helper()
	cmd := command(s.t, "dpkg", append([]string{
		"--root=" + s.root, "--force-script-chrootless", "--force-confold",
	}, arguments...)...)
	cmd.Env = append(cmd.Env, "DEBIAN_FRONTEND=noninteractive")
	return output(s.t, cmd)
}

func (s system) path(name string) string { return filepath.Join(s.root, name) }

// has says whether there is such a file.
func (s system) has(name string) bool {
	_, err := os.Lstat(s.path(name))
	return err == nil
}

// wants holds which files there are.
func (s system) wants(when string, there bool, names ...string) {
	s.t.Helper()
	for _, name := range names {
		if s.has(name) != there {
			s.t.Errorf("%s: that %s is there is %v", when, name, !there)
		}
	}
}

// user is the identity of the node's user.
func (s system) user() *syscall.Credential {
	s.t.Helper()
	m := regexp.MustCompile(`(?m)^mb-server:[^:]*:(\d+):(\d+):`).FindStringSubmatch(
		text(s.t, s.path("etc/passwd")))
	if m == nil {
		s.t.Fatalf("no user in %s", text(s.t, s.path("etc/passwd")))
	}
	uid, _ := strconv.ParseUint(m[1], 10, 32) // digits
	gid, _ := strconv.ParseUint(m[2], 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// newer is a package like another, of a version that comes after it, with another tool.
func newer(t *testing.T, of string) (path string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "package")
	run(t, "dpkg-deb", "--raw-extract", of, dir)
	control := filepath.Join(dir, "DEBIAN", "control")
	version := regexp.MustCompile(`(?m)^Version: .*$`)
	changed := version.ReplaceAllString(text(t, control), "Version: 99.0.0-1")
	if err := os.WriteFile(control, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	const tool = "#!/bin/sh\necho newer\n"
	if err := os.WriteFile(filepath.Join(dir, "usr/bin/mb"), []byte(tool), 0o700); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "newer.deb")
	run(t, "dpkg-deb", "--build", "--root-owner-group", "-Zgzip", dir, path)
	return path
}

// The package is installed, the node runs as its user with what was installed; an upgrade keeps the
// configuration, a removal leaves it, and a purge takes it.
func TestDebianPackage(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("a package is installed by root only")
	}
	bin := t.TempDir()
	run(t, "make", "deb", "BIN="+bin)
	all, _ := filepath.Glob(filepath.Join(bin, "*.deb")) // The pattern is good.
	if len(all) != 1 {
		t.Fatalf("%q", all)
	}
	s := newSystem(t)
	const config = "etc/mb-server/mb-server.yaml"
	const wanted = "etc/systemd/system/multi-user.target.wants/mb-server.service"

	s.dpkg("--install", all[0])
	s.wants("installed", true, "usr/bin/mb", "usr/lib/systemd/system/mb-server-tcp.socket",
		"usr/share/doc/mb-server/copyright", "usr/share/man/man8/mb-server.8.gz", wanted,
		"usr/share/bash-completion/completions/mb", config)
	s.wants("installed", false, "etc/systemd/system/sockets.target.wants")
	if said := s.dpkg("--verify", "mb-server"); said != "" {
		t.Errorf("dpkg --verify says %s", said)
	}
	user := s.user()
	var folder syscall.Stat_t
	if err := syscall.Stat(s.path("etc/mb-server"), &folder); err != nil ||
		folder.Mode&0o777 != 0o750 || folder.Uid != 0 || folder.Gid != user.Gid {
		t.Errorf("the configuration's folder: %v, mode %o, of %d:%d",
			err, folder.Mode&0o777, folder.Uid, folder.Gid)
	}

	free := ports(t, 3)
	node := command(t, s.path("usr/bin/mb-server"), "--config", s.path(config),
		"--ws-port", free[0], "--tcp-port", free[1], "--set", "admin.address=127.0.0.1:"+free[2])
	node.Dir, node.SysProcAttr = "/", &syscall.SysProcAttr{Credential: user}
	start(t, node)
	eventually(t, "the installed node answers the installed tool", func() bool {
		tool := command(t, s.path("usr/bin/mb"), "check", "--server", "tcp://127.0.0.1:"+free[1])
		return tool.Run() == nil
	})

	const own = "# the operator's\nlogging: {level: warn}\n"
	if err := os.WriteFile(s.path(config), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	s.dpkg("--install", newer(t, all[0]))
	if said := run(t, s.path("usr/bin/mb")); said != "newer\n" || text(t, s.path(config)) != own {
		t.Errorf("upgraded: mb says %q, the configuration is %q", said, text(t, s.path(config)))
	}
	if again := s.user(); again.Uid != user.Uid || again.Gid != user.Gid {
		t.Errorf("upgraded: the user is %v, was %v", again, user)
	}
	s.wants("upgraded", true, wanted)
	s.dpkg("--remove", "mb-server")
	s.wants("removed", true, config)
	s.wants("removed", false, "usr/bin/mb", "usr/bin/mb-server",
		"usr/lib/systemd/system/mb-server.service")
	s.dpkg("--purge", "mb-server")
	s.wants("purged", false, config, "etc/mb-server", wanted)
	if status := text(t, s.path("var/lib/dpkg/status")); strings.Contains(status, "mb-server") {
		t.Errorf("purged: %s", status)
	}
}
