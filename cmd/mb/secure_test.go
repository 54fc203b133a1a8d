package main

import (
	"crypto/tls"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mbserver/client/clienttest"
	"mbserver/server/config"
)

// vault is a broker with TLS and the files that its users need.
type vault struct {
	*clienttest.Broker
	ca        string // file
	cert, key string // files of a client's certificate
	both      string // file with both of them
}

// newVault starts one whose certificate has the names; with mutual it wants to be shown one.
func newVault(t *testing.T, o clienttest.Options, mutual bool, names ...string) vault {
	t.Helper()
	a, err := clienttest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	issue := func(names ...string) tls.Certificate {
		c, err := a.Issue(time.Time{}, names...)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	o.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{issue(names...)},
	}
	if mutual {
		o.TLS.ClientAuth, o.TLS.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool()
	}
	cert, key, err := clienttest.WriteFiles(t.TempDir(), issue("tool"))
	if err != nil {
		t.Fatal(err)
	}
	var both []byte
	for _, path := range []string{cert, key} {
		part, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, part...)
	}
	return vault{
		Broker: newBroker(t, o), ca: writeFile(t, "ca.pem", string(a.PEM())),
		cert: cert, key: key, both: writeFile(t, "both.pem", string(both)),
	}
}

// Every command that connects does so over TLS.
func TestSecureCommands(t *testing.T) {
	v := newVault(t, clienttest.Options{}, true, "127.0.0.1")
	for _, transport := range []string{"tls", "wss"} {
		flags := []string{
			"--server", v.URL(transport), "--tls-ca", v.ca,
			"--tls-cert", v.cert, "--tls-key", v.key, "--admin", "off",
		}
		with := func(line string) []string {
			own := flags
			if line != "check" && !strings.HasPrefix(line, "top ") {
				own = flags[:len(flags)-2]
			}
			return append(strings.Fields(line), own...)
		}
		subscriber := start(t, "", with("sub a.b -n 1")...)
		service := start(t, "", with("reply c.d text")...)
		logger := start(t, "", with("log")...)
		eventually(t, "all connected", func() bool {
			said := subscriber.stderr.String() + service.stderr.String() + logger.stderr.String()
			return strings.Contains(said, "subscribed to a.b") &&
				strings.Contains(said, "answering c.d") && len(v.Conns()) == 3
		})
		for _, line := range []string{
			"pub a.b x --ack", "request c.d x", "ping -n 1", "services", "topics", "subscriptions",
			"connections", "info", "top -n 1", "metrics", "check",
			"bench --publishers 1 --subscribers 1 --duration 50ms --rate 100",
		} {
			start(t, "", with(line)...).wait(exitOK)
		}
		subscriber.wait(exitOK).wantOut("a.b x\n")
		service.stop()
		logger.stop()
		service.wait(exitOK)
		logger.wait(exitOK)
	}
}

// A real node over TLS: what is asked is answered, what is published arrives, and the load that
// bench makes is measured.
func TestSecureNode(t *testing.T) {
	a, err := clienttest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	shown, err := a.Issue(time.Time{}, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	if cfg.SSL.Cert, cfg.SSL.Key, err = clienttest.WriteFiles(t.TempDir(), shown); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, cfg)
	t.Setenv("MB_TLS_CA", writeFile(t, "ca.pem", string(a.PEM())))
	for _, transport := range []string{"tls", "wss"} {
		t.Setenv("MB_SERVER", transport+"://"+n.Addr(transport))
		subscriber := start(t, "", "sub", "a.b", "-n", "1")
		eventually(t, "a subscriber", func() bool {
			return strings.Contains(subscriber.stderr.String(), "subscribed to a.b")
		})
		listed := start(t, "", "connections").wait(exitOK).stdout.String()
		if n := strings.Count(listed, " "+transport+" "); n != 2 {
			t.Errorf("%d connections over %s: %s", n, transport, listed)
		}
		start(t, "", "pub", "a.b", "x", "--ack").wait(exitOK)
		subscriber.wait(exitOK).wantOut("a.b x\n")
		start(t, "", "ping", "-n", "1").wait(exitOK)
		start(t, "", "bench", "--publishers", "1", "--subscribers", "2", "--rate", "1000",
			"--duration", "50ms").wait(exitOK)
	}
}

// Where what TLS needs comes from: flags, the context that is named, the environment, the context
// in use; and what does not work is told.
func TestSecureSources(t *testing.T) {
	v := newVault(t, clienttest.Options{}, true, "broker.example")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	other := newVault(t, clienttest.Options{}, false, "127.0.0.1")
	server := v.URL("tls")
	all := "--tls-ca " + v.ca + " --tls-cert " + v.both + " --tls-server-name broker.example"
	start(t, "", strings.Fields("context add lab --server "+server+" "+all)...).wait(exitOK)
	for _, tc := range []struct {
		args string
		env  string // NAME=value ...
		code int
		want string // on standard error
	}{
		{"--server " + server + " " + all, "", exitOK, ""},
		{"--context lab", "", exitOK, ""},
		{"--context lab", "MB_TLS_CA=" + other.ca, exitOK, ""},
		{"--context lab --tls-ca " + other.ca, "", exitError,
			"the certificate is not trusted: certificate signed by unknown authority (possibly"},
		{"--context lab --tls-server-name x", "", exitError, "another name"},
		{"--server " + server, "MB_TLS_CA=" + v.ca + " MB_TLS_CERT=" + v.cert + " MB_TLS_KEY=" +
			v.key + " MB_TLS_SERVER_NAME=broker.example", exitOK, ""},
		{"--server " + server, "MB_TLS_INSECURE=1 MB_TLS_CERT=" + v.both, exitOK, "is not checked"},
		{"--server " + server, "MB_TLS_INSECURE=maybe", exitUsage, "true or false"},
		{"--server " + server, "", exitError, "another name"},
		{"--server " + other.URL("wss"), "", exitError, "not trusted"},
		{"--server " + server + " --tls-ca " + v.ca, "", exitError, "--tls-server-name"},
		{"--server " + server + " --tls-insecure", "", exitError, "--tls-cert FILE"},
		{"--server " + server + " --tls-key " + v.key, "", exitUsage, "with --tls-cert only"},
		{"--server " + server + " --tls-cert " + v.cert, "", exitError, v.cert},
		{"--server " + server + " --tls-cert /none", "", exitError, "no such file"},
		{"--server " + server + " --tls-ca " + v.key, "", exitError, "no certificate in it"},
		{"--server " + v.URL("tcp") + " --tls-ca " + v.ca, "", exitUsage, "is not encrypted"},
		{"--server " + v.URL("ws") + " --tls-insecure", "", exitUsage, "is not encrypted"},
		{"--server " + v.URL("tcp"), "MB_TLS_INSECURE=1", exitOK, ""},
		{"--server " + v.URL("tcp") + " --ca " + v.ca, "", exitUsage, "--tls-ca?"},
		{"--server " + v.URL("tcp") + " --insecure", "", exitUsage, "--tls-insecure?"},
	} {
		for _, flag := range securityFlags {
			t.Setenv(variable(flag), "")
		}
		for pair := range strings.FieldsSeq(tc.env) {
			name, value, _ := strings.Cut(pair, "=")
			t.Setenv(name, value)
		}
		i := start(t, "", append([]string{"topics"}, strings.Fields(tc.args)...)...)
		i.wait(tc.code).wantErr(tc.want)
		if tc.want == "" && i.stderr.String() != "" {
			t.Errorf("%s: %q", tc.args, i.stderr.String())
		}
	}
}

// What of TLS is in a context: paths that hold anywhere, and no key in the list.
func TestSecureContext(t *testing.T) {
	newBroker(t, clienttest.Options{})
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Chdir(t.TempDir())
	start(t, "", "context", "add", "a", "--server", "tls://x", "--tls-ca", "ca.pem", "--tls-cert",
		"own.pem", "--tls-key", "own.key", "--tls-server-name", "y", "--tls-insecure").wait(exitOK)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var listed struct{ CA, Cert, Key, ServerName string }
	i := start(t, "", "context", "list", "--json").wait(exitOK)
	if err := json.Unmarshal([]byte(i.stdout.String()), &listed); err != nil {
		t.Fatal(err)
	}
	if listed.CA != filepath.Join(here, "ca.pem") || listed.Key != "" || listed.ServerName != "y" ||
		listed.Cert != filepath.Join(here, "own.pem") {
		t.Errorf("listed %+v", listed)
	}
	i = start(t, "", "context", "list").wait(exitOK)
	if text := i.stdout.String(); !strings.Contains(text, "not checked") ||
		!strings.Contains(text, "own.pem") {
		t.Errorf("listed %q", text)
	}
	start(t, "", "context", "add", "b", "--server", "tcp://x", "--tls-ca", "ca.pem").
		wait(exitUsage).wantErr("is not encrypted")
}
