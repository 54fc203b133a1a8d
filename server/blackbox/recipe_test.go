package blackbox

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// The recipes of docs/deploy, with the programs that they are for.

// recipe is a file of docs/deploy, some of it replaced (see swap).
func recipe(t testing.TB, name string, pairs ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return swap(t, string(text), pairs...)
}

// swap replaces what must be there, old and new in turn.
func swap(t testing.TB, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the recipe has no %q:\n%s", pairs[i], text)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// written is a file of the test's.
func written(t testing.TB, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// debian is the path of one that Debian has.
func debian(t testing.TB, name string) (path string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil { // only root has it in its path
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		t.Fatal("the recipes of docs/deploy need: apt-get install --no-install-recommends " +
			"haproxy nginx-light libnginx-mod-stream caddy prometheus")
	}
	return path
}

// startProgram runs a program of Debian's until the test ends, and waits until it listens.
func startProgram(t testing.TB, name string, listens []string, arguments ...string) {
	t.Helper()
	said := &output{}
	cmd := exec.Command(debian(t, name), arguments...)
	cmd.Env, cmd.Stdout, cmd.Stderr = cleanEnvironment(), said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, and the test failed
		_ = cmd.Wait()         // as we asked it to
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said)
		}
	})
	for _, address := range listens {
		eventually(t, name+" listens", func() bool {
			c, err := net.DialTimeout("tcp", address, patience)
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
	}
}

// freeAddress is one of this machine on which nobody listens.
func freeAddress(t testing.TB) string {
	return fmt.Sprintf("127.0.0.1:%d", freePorts(t, 1)[0])
}

// backend is where a balancer finds a node.
type backend struct {
	*node
	ready *atomic.Bool // whether it says at its port of readiness that it is
}

var lastHost atomic.Int32 // of the addresses 127.0.1.n, each of which one node has

// startBackends starts nodes with a file of docs/deploy, each on an address of its own, and says
// for them at one port of these whether they are ready, so that a test can decide that. settings
// are those of the first one.
func startBackends(t *testing.T, n int, file string, settings ...string) (all []backend,
	port string,
) {
	t.Helper()
	port = "0" // the first one's is anyone, the others' the same
	for range n {
		host := fmt.Sprintf("127.0.1.%d", lastHost.Add(1))
		listener, err := net.Listen("tcp", host+":"+port)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(listener.Addr().String())
		b := backend{ready: &atomic.Bool{}}
		b.ready.Store(true)
		b.node = launchNode(t, launch{
			plain: true, host: host, settings: settings,
			config: written(t, "node.yaml",
				recipe(t, file, "10.0.0.5", "127.0.0.1", "10.0.0.2", "127.0.0.1")),
		})
		page := &http.Server{Handler: http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/readyz" || !b.ready.Load() {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})}
		go func() { _ = page.Serve(listener) }() // ends with the listener
		t.Cleanup(func() { _ = page.Close() })
		all, settings = append(all, b), nil
	}
	return all, port
}

// kill ends a node as a fault of its machine does.
func (n *node) kill() {
	n.t.Helper()
	n.stopped = true
	if err := n.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		n.t.Error(err)
	}
	<-n.exited
}

// servers puts those nodes in the place of the recipe's; nobody listens at the others.
func servers(t testing.TB, text string, all []backend) string {
	t.Helper()
	for i := range 3 {
		tcp, ws := "127.0.2.1:1", "127.0.2.1:1"
		if i < len(all) {
			tcp, ws = all[i].tcp, all[i].ws
		}
		old := fmt.Sprintf("10.0.0.%d", 5+i)
		text = swap(t, text, old+":3000", ws)
		text = strings.ReplaceAll(text, old+":3001", tcp)
	}
	return text
}

// certificates are the files of ours as one, which HAProxy wants.
func certificates(t testing.TB) (path string) {
	t.Helper()
	both := ""
	for _, path := range []string{ours.certificate, ours.key} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		both += string(text)
	}
	return written(t, "mb.pem", both)
}

// startHAProxy starts it with a recipe that has been adapted as far as the test wants.
func startHAProxy(t testing.TB, text string, listens ...string) (control string) {
	t.Helper()
	control = filepath.Join(t.TempDir(), "admin.sock")
	file := written(t, "haproxy.cfg", swap(t, text, "maxconn 100000", "maxconn 100",
		"/run/haproxy/admin.sock", control))
	startProgram(t, "haproxy", listens, "-db", "-f", file)
	return control
}

// startNginx does the same.
func startNginx(t testing.TB, text string, listens ...string) {
	t.Helper()
	temporary := "access_log off;\n"
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += what + "_temp_path " + what + ";\n"
	}
	file := written(t, "nginx.conf", swap(t, text, "user www-data;", "daemon off;",
		"worker_connections 100000", "worker_connections 64", "worker_rlimit_nofile 262144;", "",
		"worker_processes auto;", "master_process off;", "/run/nginx.pid", "pid",
		"access_log off;", temporary, "/etc/nginx/mb.pem", ours.certificate,
		"/etc/nginx/mb.key", ours.key))
	// Debian's files that load modules name them from the prefix on.
	err := os.Symlink("/usr/lib/nginx/modules", filepath.Join(filepath.Dir(file), "modules"))
	if err != nil {
		t.Fatal(err)
	}
	startProgram(t, "nginx", listens, "-e", "stderr", "-p", filepath.Dir(file), "-c", file)
}

// startCaddy does the same.
func startCaddy(t testing.TB, text, listens string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(listens)
	file := written(t, "Caddyfile", "{\n\tadmin off\n\tauto_https disable_redirects\n"+
		"\tlog {\n\t\tlevel ERROR\n\t}\n}\n"+
		swap(t, text, "mb.example {", "mb.example:"+port+" {\n\tbind 127.0.0.1\n\ttls "+
			ours.certificate+" "+ours.key))
	startProgram(t, "caddy", []string{listens}, "run", "--config", file, "--adapter", "caddyfile")
}
