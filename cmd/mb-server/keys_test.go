package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keyFiles writes files with keys, good and bad, and returns their folder.
func keyFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, text []byte) {
		must(os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	block := func(kind string, der []byte, err error) []byte {
		must(err)
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	public := func(k crypto.Signer) []byte {
		der, err := x509.MarshalPKIXPublicKey(k.Public())
		return block("PUBLIC KEY", der, err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	must(err)
	der, err := x509.MarshalPKCS8PrivateKey(curve)
	write("private.pem", block("PRIVATE KEY", der, err))
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err = x509.CreateCertificate(rand.Reader, of, of, curve.Public(), curve)
	write("cert.pem", block("CERTIFICATE", der, err))
	write("ec.pem", public(curve))
	write("ed.pem", public(edwards))
	write("weak.pem", public(weak))
	write("broken.pem", block("PUBLIC KEY", []byte("no key"), nil))
	write("text.pem", []byte("not a key\n"))
	write("empty.pem", nil)
	write("secret", []byte(strings.Repeat("s", 32)+"\n"))
	write("short", []byte("hush\n"))
	const jwk = `{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"k",` +
		`"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	write("set.json", []byte(`{"keys":[`+jwk+`]}`))
	write("twice.json", []byte(`{"keys":[`+jwk+`,`+jwk+`]}`))
	write("broken.json", []byte(`{"keys":[`))
	write("other.json", []byte(`{"key":[]}`))
	write("mismatch.json", []byte(`{"keys":[`+strings.Replace(jwk, "EdDSA", "RS256", 1)+`]}`))
	return dir
}

// Every fault of a file with keys is found by --check, which names its key and the file.
func TestCheckReadsKeys(t *testing.T) {
	dir := keyFiles(t)
	file := func(alg, name string) string {
		return "auth.jwt.keys: [{kid: k, alg: " + alg + ", file: '" + dir + "/" + name + "'}]"
	}
	set := func(name string) string { return "auth.jwt.keys: '" + dir + "/" + name + "'" }
	ca := func(name string) string {
		return "auth.certificate.ca: '" + dir + name + "'\n" +
			"ssl: {key: '" + dir + "/private.pem', cert: '" + dir + "/cert.pem'}"
	}
	for name, tt := range map[string]struct{ text, want string }{
		"good":              {file("ES256", "ec.pem"), ""},
		"a good secret":     {file("HS256", "secret"), ""},
		"a good set":        {set("set.json"), ""},
		"not there":         {file("ES256", "none.pem"), "none.pem: no such file"},
		"a folder":          {file("ES256", ""), "is a directory"},
		"empty":             {file("ES256", "empty.pem"), "empty.pem: no PEM block"},
		"no PEM":            {file("ES256", "text.pem"), "text.pem: no PEM block"},
		"broken":            {file("ES256", "broken.pem"), "broken.pem: "},
		"private":           {file("ES256", "private.pem"), "private.pem: it holds a private key"},
		"another curve":     {file("ES384", "ec.pem"), "ec.pem: the key is not one for ES384"},
		"another algorithm": {file("RS256", "ed.pem"), "ed.pem: the key is not one for RS256"},
		"no algorithm":      {file("ES255", "ec.pem"), `ec.pem: algorithm "ES255" is none of`},
		"weak":              {file("RS256", "weak.pem"), "weak.pem: an RSA key of 1024 bits"},
		"an empty secret":   {file("HS256", "empty.pem"), "empty.pem: the secret has 0 bytes"},
		"a short secret":    {file("HS256", "short"), "short: the secret has 4 bytes"},
		"a key as secret":   {file("HS256", "ec.pem"), "ec.pem: HS256 takes a secret"},
		"the same kid": {strings.TrimSuffix(file("EdDSA", "ed.pem"), "]") +
			", {kid: k, alg: EdDSA, file: '" + dir + "/ed.pem'}]",
			`[1]: another key is there with the kid "k"`},
		"no set there":         {set("none.json"), "none.json: no such file"},
		"an empty set":         {set("empty.pem"), "empty.pem: no JSON Web Key Set"},
		"a broken set":         {set("broken.json"), "broken.json: no JSON Web Key Set"},
		"no set":               {set("other.json"), `other.json: no JSON Web Key Set: "keys"`},
		"the same kid in it":   {set("twice.json"), `another key is there with the kid "k"`},
		"another kind in it":   {set("mismatch.json"), "mismatch.json: keys[0]: "},
		"a good authority":     {ca("/cert.pem"), ""},
		"no authority there":   {ca("/none.pem"), `none.pem": no such file`},
		"an empty authority":   {ca("/empty.pem"), "no certificate in it"},
		"a key as authority":   {ca("/ec.pem"), `ec.pem": there is a PUBLIC KEY in it`},
		"a folder of them":     {ca(""), "is a directory"},
		"a limit of no role":   {"rate.limit.role: {guest: 1}", "is no role of permissions.roles"},
		"a role nobody has":    {"permissions.default: [guest]", `role "guest" is not defined`},
		"a token that is none": {"auth.tokens: [{identity: a, sha256: 12}]", "sha256 is not 64"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "mb.yaml")
			must(os.WriteFile(path, []byte(tt.text+"\n"), 0o600))
			b := newBench(t, nil, errors.New("must not be set up"))
			code := b.execute([]string{"--check", "--config", path})
			got, key := b.err.String(), tt.text[:strings.Index(tt.text, ":")]
			if tt.want == "" {
				if code != exitOK {
					t.Errorf("exit code %d: %s", code, got)
				}
				return
			}
			if code != exitConfig || b.out.String() != "" ||
				!strings.Contains(got, tt.want) || !strings.Contains(got, key) {
				t.Errorf("exit code %d, %q; want %s and %s", code, got, key, tt.want)
			}
		})
	}
}
