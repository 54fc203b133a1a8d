package secure

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// forger writes records of a client's own making, as a hostile one may: with the keys that a
// tls.Conn has agreed on, which must have sent nothing since its handshake and send nothing after.
// TLS 1.3 with AES-128 only.
type forger struct {
	t        testing.TB
	aead     cipher.AEAD
	iv       []byte
	sequence uint64
	next     []byte // the secret after a change of keys
}

// forgeable prepares cfg for a forger, which secrets is for.
func forgeable(cfg *tls.Config) (secrets *bytes.Buffer) {
	secrets = &bytes.Buffer{}
	cfg.MinVersion, cfg.KeyLogWriter = tls.VersionTLS13, secrets
	return secrets
}

func newForger(t testing.TB, secrets *bytes.Buffer) *forger {
	t.Helper()
	for line := range strings.Lines(secrets.String()) {
		words := strings.Fields(line)
		if words[0] != "CLIENT_TRAFFIC_SECRET_0" {
			continue
		}
		secret, err := hex.DecodeString(words[2])
		if err != nil || len(secret) != sha256.Size {
			t.Fatalf("not the cipher that the forger knows: %s", line)
		}
		f := &forger{t: t}
		f.use(secret)
		return f
	}
	t.Fatal("no secret was logged")
	return nil
}

func (f *forger) use(secret []byte) {
	block, err := aes.NewCipher(f.expand(secret, "key", 16))
	if err != nil {
		f.t.Fatal(err)
	}
	if f.aead, err = cipher.NewGCM(block); err != nil {
		f.t.Fatal(err)
	}
	f.iv, f.sequence = f.expand(secret, "iv", 12), 0
	f.next = f.expand(secret, "traffic upd", sha256.Size)
}

// expand is HKDF-Expand-Label of RFC 8446 §7.1.
func (f *forger) expand(secret []byte, label string, length int) []byte {
	label = "tls13 " + label
	info := append([]byte{0, byte(length), byte(len(label))}, label...)
	out, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), length)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// record makes a record of some content, kind and padding.
func (f *forger) record(kind byte, content []byte, padding int) []byte {
	inner := append(append(bytes.Clone(content), kind), make([]byte, padding)...)
	head := []byte{23, 3, 3}
	head = binary.BigEndian.AppendUint16(head, uint16(len(inner)+f.aead.Overhead()))
	nonce := bytes.Clone(f.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(f.sequence >> (56 - 8*i))
	}
	f.sequence++
	return f.aead.Seal(head, nonce, inner, head)
}
