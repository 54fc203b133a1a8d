package blackbox

import (
	"crypto/tls"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// show has a client show the identity's certificate.
func (i *identity) show(t testing.TB, cfg *tls.Config) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(i.certificate, i.key)
	if err != nil {
		t.Fatal(err)
	}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &pair, nil // also to a node that does not know who signed it
	}
}

// Clients' certificates are looked at where the node is told by whom they must be signed; one that
// is not trusted is no better for being optional.
func TestS9_ClientCertificates(t *testing.T) {
	t.Parallel()
	known, stranger := identify(t), identify(t)
	expired, err := signed(t.TempDir(), time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, required := range []string{"true", "false"} {
		n := startNode(t, "auth.certificate.ca="+known.certificate,
			"auth.certificate.required="+required)
		refused := 0.0
		for _, c := range []struct {
			name  string
			shows *identity
			in    bool
		}{
			{"none", nil, required == "false"}, {"a known one", &known, true},
			{"a stranger's", &stranger, false}, {"an expired one", &expired, false},
		} {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				conn, err := dialSecure(t, n.tls, func(cfg *tls.Config) {
					cfg.MaxVersion = version
					if c.shows != nil {
						c.shows.show(t, cfg)
					}
				})
				if err == nil { // of TLS 1.3 the first read tells
					_, err = newTCPPeer(conn).Recv(time.Now().Add(patience))
				}
				if (err == nil) != c.in {
					t.Errorf("required %s, %s, version %x: %v", required, c.name, version, err)
				}
				if !c.in {
					refused++
				}
			}
		}
		n.until(t, "the refused are counted", func(m map[string]float64) bool {
			return m[failures("client_certificate")] == refused
		})
	}
}

// hangup has the node read its certificates again, and awaits what it says of that.
func (n *node) hangup(says string) {
	n.t.Helper()
	before := strings.Count(n.out.String(), says)
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		n.t.Fatal(err)
	}
	eventually(n.t, says, func() bool { return strings.Count(n.out.String(), says) > before })
}

const (
	reloaded    = "configuration reloaded"
	notReloaded = "configuration not reloaded"
)

// A session is resumed by its ticket, also after the certificate has been read again; one in which
// the client was asked for a certificate never is.
func TestS9_Resumption(t *testing.T) {
	t.Parallel()
	for _, asks := range []bool{false, true} {
		var settings []string
		if asks {
			settings = append(settings, "auth.certificate.ca="+ours.certificate)
		}
		n := startNode(t, settings...)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			cache := tls.NewLRUClientSessionCache(1)
			for i := range 3 {
				conn, err := dialSecure(t, n.tls, func(cfg *tls.Config) {
					cfg.MaxVersion, cfg.ClientSessionCache = version, cache
					if asks {
						ours.show(t, cfg)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				greeted(t, conn) // a ticket comes before
				if got := conn.ConnectionState().DidResume; got != (i > 0 && !asks) {
					t.Errorf("asks %v, version %x, the %dth: resumed %v", asks, version, i+1, got)
				}
				if i == 1 {
					n.hangup(reloaded)
				}
			}
		}
		want := 4.0
		if asks {
			want = 0
		}
		n.until(t, "resumed ones are counted", func(m map[string]float64) bool {
			return m["mb_tls_handshakes_resumed_total"] == want
		})
	}
}

// A certificate is replaced without dropping a connection; a faulty one changes nothing.
func TestS9_CertificateIsReplaced(t *testing.T) {
	t.Parallel()
	files := identify(t)
	n := launchNode(t, launch{settings: []string{
		"ssl.key=" + files.key, "ssl.cert=" + files.certificate,
	}})
	dial := func(by *identity) (*client, error) {
		p, err := dialTLS(n.tls, by.trust())
		if err != nil {
			return nil, err
		}
		return adopt(t, p, overTLS), nil
	}
	first, err := dial(&files)
	if err != nil {
		t.Fatal(err)
	}
	next := identify(t)
	replace(t, files.certificate, next.certificate)
	n.hangup(notReloaded) // the key is that of the first
	if _, err := dial(&files); err != nil {
		t.Errorf("after a faulty certificate: %v", err)
	}
	replace(t, files.key, next.key)
	n.hangup(reloaded)
	if _, err := dial(&files); err == nil {
		t.Error("the first certificate is still shown")
	}
	second, err := dial(&next)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{files.certificate, files.key} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		n.hangup(notReloaded)
	}
	if _, err := dial(&next); err != nil {
		t.Errorf("after the files have gone: %v", err)
	}
	first.settle()
	second.settle()
	m := n.scrape(t)
	expiry := time.Unix(int64(m["mb_tls_certificate_expiry_timestamp_seconds"]), 0)
	if left := time.Until(expiry).Hours() / 24; left < 29 || left > 31 {
		t.Errorf("the certificate expires in %v days", left)
	}
}

// replace puts a copy of a file in another's place.
func replace(t testing.TB, path, by string) {
	t.Helper()
	text, err := os.ReadFile(by)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A node does not start with certificates that clients would refuse, or that are none, and says
// which setting is to be mended; it tells of one that expires soon.
func TestS9_CertificatesThatAreWrong(t *testing.T) {
	t.Parallel()
	made := func(from, to time.Duration) identity {
		i, err := signed(t.TempDir(), time.Now().Add(from), time.Now().Add(to))
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	day := 24 * time.Hour
	expired, early, soon := made(-2*day, -day), made(day, 2*day), made(-day, 3*day)
	for _, c := range []struct {
		settings []string
		names    string
		reason   string
	}{
		{
			[]string{"ssl.key=" + expired.key, "ssl.cert=" + expired.certificate},
			"ssl.cert", "expired",
		},
		{
			[]string{"ssl.key=" + early.key, "ssl.cert=" + early.certificate},
			"ssl.cert", "not valid before",
		},
		{[]string{"ssl.cert=" + ours.key}, "ssl.cert", "no certificate"},
		{[]string{"ssl.key=" + ours.certificate}, "ssl.key", "no private key"},
		{[]string{"ssl.key=" + ours.key + ".none"}, "ssl.key", "no such file"},
		{[]string{"auth.certificate.ca=" + ours.key}, "auth.certificate.ca", "only certificates"},
	} {
		n, err := tryNode(t, launch{settings: c.settings})
		if err == nil {
			n.finish()
			t.Errorf("it starts with %v", c.settings)
			continue
		}
		if code := n.cmd.ProcessState.ExitCode(); code != 2 ||
			!strings.Contains(err.Error(), c.names) || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%v: exit code %d, %v", c.settings, code, err)
		}
	}
	n := launchNode(t, launch{
		settings: []string{"ssl.key=" + soon.key, "ssl.cert=" + soon.certificate},
	})
	eventually(t, "it says that the certificate expires", func() bool {
		return strings.Contains(n.out.String(), "expires in 2 days")
	})
}
