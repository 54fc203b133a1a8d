package secure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync/atomic"
	"time"
)

// Files are where certificates are read from.
type Files struct {
	Certificate string // PEM: the node's chain, its own certificate first
	Key         string // PEM: the private key
	ClientCA    string // PEM: who may have signed clients' certificates; empty: none is asked for
	Required    bool   // a client without a certificate is refused
}

// File is which of the Files.
type File int

// The files.
const (
	Chain File = iota
	Key
	ClientCA
)

// FileError is what is wrong with one of the Files.
type FileError struct {
	File   File
	Path   string
	Reason string
}

// Error names the file.
func (e *FileError) Error() string { return e.Path + ": " + e.Reason }

// Check returns all that is wrong with files.
func Check(files Files) (bad []*FileError) {
	_, bad = load(files, time.Now())
	return bad
}

// Certificates begin handshakes. What they show and whom they trust can be read anew; sessions that
// stand are not touched. Any goroutine.
type Certificates struct {
	files Files // Reload only
	// Those of each listener stay as long as the process, but for a client CA, so that the keys of
	// session tickets do: crypto/tls makes a new one each day and takes each for a week.
	raw, web *tls.Config
	current  atomic.Pointer[material]
}

// material is what was read at one time. Immutable.
type material struct {
	shown    *tls.Certificate
	raw, web *tls.Config
}

// Open reads files. An error names what is wrong with them, each a *FileError.
func Open(files Files) (*Certificates, error) {
	c := &Certificates{files: files}
	c.raw = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: c.show,
		// Whole records: what leaves in a turn is written at once.
		DynamicRecordSizingDisabled: true,
	}
	c.web = c.raw.Clone()
	c.web.NextProtos = []string{"http/1.1"}
	return c, c.Reload(files.ClientCA)
}

// Reload reads the files again, of which clientCA may be another now. After an error, as of Open,
// everything is as before. One call at a time.
func (c *Certificates) Reload(clientCA string) error {
	files := c.files
	files.ClientCA = clientCA
	found, bad := load(files, time.Now())
	if len(bad) > 0 {
		var all error
		for _, b := range bad {
			all = errors.Join(all, b)
		}
		return all
	}
	m := &material{shown: found.pair, raw: c.raw, web: c.web}
	if found.clients != nil {
		m.raw, m.web = c.raw.Clone(), c.web.Clone()
		for _, cfg := range []*tls.Config{m.raw, m.web} {
			cfg.ClientCAs, cfg.ClientAuth = found.clients, tls.VerifyClientCertIfGiven
			cfg.SessionTicketsDisabled = true // who shows a certificate is looked at each time
			if files.Required {
				cfg.ClientAuth = tls.RequireAndVerifyClientCert
			}
		}
	}
	c.files = files
	c.current.Store(m)
	return nil
}

// show is tls.Config.GetCertificate.
func (c *Certificates) show(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load().shown, nil
}

// Begin begins a handshake; web says that HTTP comes behind it.
func (c *Certificates) Begin(web bool) *Handshake {
	m := c.current.Load()
	if web {
		return newHandshake(m.web)
	}
	return newHandshake(m.raw)
}

// Expiry is when the first certificate of the chain that is shown expires.
func (c *Certificates) Expiry() time.Time {
	shown := c.current.Load().shown
	first := shown.Leaf.NotAfter
	for _, der := range shown.Certificate[1:] {
		if parsed, err := x509.ParseCertificate(der); err == nil && parsed.NotAfter.Before(first) {
			first = parsed.NotAfter
		}
	}
	return first
}
