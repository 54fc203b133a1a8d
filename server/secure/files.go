package secure

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// loaded is what Files hold.
type loaded struct {
	pair    *tls.Certificate
	clients *x509.CertPool // nil: no file was named
}

// load reads files, and says in words all that is wrong with them.
func load(f Files, now time.Time) (found loaded, bad []*FileError) {
	chain, key := readPEM(Chain, f.Certificate), readPEM(Key, f.Key)
	switch {
	case chain.bad != nil || key.bad != nil:
	case !chain.has("CERTIFICATE"):
		chain.fail("there is no certificate in it")
	case !key.has("PRIVATE KEY"):
		key.fail("there is no private key in it")
	case key.encrypted():
		key.fail("the key is encrypted, and the node cannot ask for a password: store it " +
			"decrypted, in a file that only the node may read")
	default:
		pair, err := tls.X509KeyPair(chain.text, key.text)
		if err == nil {
			found.pair, err = &pair, expired(pair.Leaf, now)
		} else {
			err = fmt.Errorf("does not load with the key %q: %s",
				f.Key, strings.TrimPrefix(err.Error(), "tls: "))
		}
		if err != nil {
			chain.fail(err.Error())
		}
	}
	files := []*pemFile{key, chain}
	if f.ClientCA != "" {
		ca := readPEM(ClientCA, f.ClientCA)
		found.clients = ca.pool()
		files = append(files, ca)
	}
	for _, p := range files {
		if p.bad != nil {
			bad = append(bad, p.bad)
		}
	}
	return found, bad
}

// expired says when a certificate cannot be shown now.
func expired(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return errors.New("the certificate expired on " + c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return errors.New("the certificate is not valid before " +
			c.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// pemFile is a file of PEM blocks.
type pemFile struct {
	file   File
	path   string
	text   []byte
	blocks []*pem.Block
	bad    *FileError // what is wrong with it; nil: nothing was found
}

func readPEM(file File, path string) *pemFile {
	p := &pemFile{file: file, path: path}
	if strings.Contains(path, "-----BEGIN") {
		p.fail("must be the path of a file, not its content")
		return p
	}
	var err error
	if p.text, err = os.ReadFile(path); err != nil {
		var where *fs.PathError
		if errors.As(err, &where) {
			err = where.Err
		}
		p.fail(err.Error())
	}
	for block, rest := pem.Decode(p.text); block != nil; block, rest = pem.Decode(rest) {
		p.blocks = append(p.blocks, block)
	}
	return p
}

func (p *pemFile) fail(reason string) {
	if p.bad == nil {
		p.bad = &FileError{p.file, p.path, reason}
	}
}

// has says whether there is a block of a kind, or of a special one: an "EC PRIVATE KEY" is a
// "PRIVATE KEY".
func (p *pemFile) has(kind string) bool {
	for _, b := range p.blocks {
		if strings.HasSuffix(b.Type, kind) {
			return true
		}
	}
	return false
}

func (p *pemFile) encrypted() bool {
	for _, b := range p.blocks {
		if b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "" {
			return true
		}
	}
	return false
}

// pool is the certificates of the file, which must have nothing else: a key does not belong there.
func (p *pemFile) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, b := range p.blocks {
		if b.Type != "CERTIFICATE" {
			p.fail("there is a " + b.Type + " in it: only certificates belong there")
			break
		}
		ca, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			p.fail(strings.TrimPrefix(err.Error(), "x509: "))
			break
		}
		pool.AddCert(ca)
	}
	if len(p.blocks) == 0 {
		p.fail("there is no certificate in it")
	}
	return pool
}
