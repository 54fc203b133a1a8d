package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// keys made once: an RSA key takes a while.
var keysOnce = sync.OnceValue(func() map[string]crypto.Signer {
	r, _ := rsa.GenerateKey(rand.Reader, 2048)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{"RS": r, "ES256": p256, "ES384": p384, "ES512": p521, "Ed": ed}
})

var secret = []byte(strings.Repeat("0123456789abcdef", 4))

// signerOf returns what signs tokens of an algorithm.
func signerOf(algorithm string) any {
	switch {
	case algorithm[:2] == "HS":
		return secret
	case algorithm[:2] == "RS" || algorithm[:2] == "PS":
		return keysOnce()["RS"]
	case algorithm == "EdDSA":
		return keysOnce()["Ed"]
	}
	return keysOnce()[algorithm]
}

func write(t testing.TB, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// publicFile writes what checks tokens of an algorithm.
func publicFile(t testing.TB, algorithm string) string {
	t.Helper()
	if algorithm[:2] == "HS" {
		return write(t, "secret", append(slices.Clone(secret), '\n'))
	}
	der, err := x509.MarshalPKIXPublicKey(signerOf(algorithm).(crypto.Signer).Public())
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

type claims = jwt.MapClaims

// sign makes a token; header may be nil.
func sign(t testing.TB, algorithm string, c claims, header map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), c)
	for k, v := range header {
		token.Header[k] = v
	}
	text, err := token.SignedString(signerOf(algorithm))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func verifierOf(t testing.TB, s Source) *Verifier {
	t.Helper()
	v, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// good are the claims of a token that is accepted.
func good() claims { return claims{"sub": "anna", "exp": now.Add(time.Minute).Unix()} }

func TestStaticTokens(t *testing.T) {
	a, b := NewToken(), NewToken()
	if a == b || len(a) != 43 {
		t.Fatalf("%s %s", a, b)
	}
	v := verifierOf(t, Source{Tokens: []Token{
		{Identity: "anna", SHA256: Hash(a), Roles: []string{"r"}},
		{Identity: "bob", SHA256: strings.ToUpper(Hash(b)), Expires: now},
	}})
	g, err := v.Token(a, now)
	if err != nil || g.Identity != "anna" || !slices.Equal(g.Roles, []string{"r"}) ||
		!g.Expires.IsZero() {
		t.Errorf("%+v %v", g, err)
	}
	if g, err := v.Token(b, now.Add(-1)); err != nil || !g.Expires.Equal(now) {
		t.Errorf("%+v %v", g, err)
	}
	for token, want := range map[string]error{
		b: ErrExpired, "": ErrInvalid, a + "x": ErrInvalid, a[1:]: ErrInvalid,
		Hash(a): ErrInvalid, "a.b.c": ErrInvalid, strings.Repeat("a", MaxToken+1): ErrInvalid,
	} {
		if g, err := v.Token(token, now); err != want || g != nil {
			t.Errorf("%.20q: %v", token, err)
		}
	}
	// RFC 6234 §8.5's first test, so that a hash of sha256sum is one of ours.
	if Hash("abc") != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Error(Hash("abc"))
	}
}

// Every algorithm is accepted with its own key, from a file and from a set, and no token of one is
// with the key of another.
func TestAlgorithms(t *testing.T) {
	for algorithm := range algorithms {
		v := verifierOf(t, Source{Signed: Signed{
			Keys: []KeyFile{{"", algorithm, publicFile(t, algorithm)}}}})
		for other := range algorithms {
			g, err := v.Token(sign(t, other, good(), nil), now)
			if (err == nil) != (other == algorithm) {
				t.Errorf("%s with a key for %s: %v", other, algorithm, err)
			}
			if err == nil && (g.Identity != "anna" || !g.Expires.Equal(now.Add(time.Minute))) {
				t.Errorf("%+v", g)
			}
		}
	}
}

// A public key is no secret, "none" is no signature, and what a header says of keys is not fetched,
// opened or believed.
func TestForged(t *testing.T) {
	path := publicFile(t, "RS256")
	public, _ := os.ReadFile(path)
	v := verifierOf(t, Source{Signed: Signed{Keys: []KeyFile{{"one", "RS256", path}}}})
	method := jwt.SigningMethodHS256
	confused := jwt.NewWithClaims(method, good())
	confused.Header["kid"] = "one"
	asSecret, _ := confused.SignedString(public)
	none := jwt.NewWithClaims(jwt.SigningMethodNone, good())
	unsigned, _ := none.SignedString(jwt.UnsafeAllowNoneSignatureType)
	ok := sign(t, "RS256", good(), map[string]any{"kid": "one"})
	parts := strings.Split(ok, ".")
	raw := func(header string) string {
		coded := base64.RawURLEncoding.EncodeToString([]byte(header))
		return coded + "." + parts[1] + "." + parts[2]
	}
	deep := strings.Repeat("[", 2000) + strings.Repeat("]", 2000)
	for name, token := range map[string]string{
		"HS256 with the public key": asSecret, "none": unsigned,
		"None":                raw(`{"alg":"None","kid":"one"}`),
		"no algorithm":        raw(`{"kid":"one"}`),
		"a number":            raw(`{"alg":256,"kid":"one"}`),
		"another key's name":  sign(t, "RS256", good(), map[string]any{"kid": "two"}),
		"a path":              sign(t, "RS256", good(), map[string]any{"kid": "../../" + path}),
		"empty signature":     parts[0] + "." + parts[1] + ".",
		"the header changed":  raw(`{"alg":"RS256","kid":"one","x":1}`),
		"claims changed":      parts[0] + "." + parts[0] + "." + parts[2],
		"padding":             ok + "=",
		"a part too many":     ok + ".x",
		"dots":                "..",
		"many dots":           strings.Repeat(".", 8000),
		"deep":                raw(`{"alg":"RS256","x":` + deep + `}`),
		"a JSON that is text": raw(`"RS256"`),
	} {
		if g, err := v.Token(token, now); err != ErrInvalid || g != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := v.Token(ok, now); err != nil {
		t.Error(err)
	}
	// A token with two names for "alg" is judged by one reading of it, the signature's.
	twice := sign(t, "RS256", good(), nil)
	if _, err := v.Token(twice, now); err != nil {
		t.Errorf("without a key's name: %v", err)
	}
}

func TestClaims(t *testing.T) {
	const leeway = 30 * time.Second
	v := verifierOf(t, Source{Signed: Signed{
		Keys:   []KeyFile{{"", "HS256", publicFile(t, "HS256")}},
		Issuer: "me", Audience: "mb", Leeway: leeway, Identity: "email", Roles: "groups",
	}})
	base := func(change claims) claims {
		c := claims{"iss": "me", "aud": []string{"x", "mb"}, "email": "a@b", "exp": now.Unix() + 60}
		for k, v := range change {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		return c
	}
	for _, tt := range []struct {
		name   string
		change claims
		want   error
	}{
		{"all", nil, nil},
		{"audience as text", claims{"aud": "mb"}, nil},
		{"within the leeway", claims{"exp": now.Unix() - 29}, nil},
		{"at its end", claims{"exp": now.Unix() - 30}, ErrExpired},
		{"expired", claims{"exp": now.Unix() - 31}, ErrExpired},
		{"expired, of another issuer", claims{"exp": now.Unix() - 90, "iss": "you"}, ErrInvalid},
		{"expired, without identity", claims{"exp": now.Unix() - 90, "iss": nil}, ErrInvalid},
		{"no end", claims{"exp": nil}, ErrInvalid},
		{"an end that is text", claims{"exp": "tomorrow"}, ErrInvalid},
		{"not yet", claims{"nbf": now.Unix() + 31}, ErrInvalid},
		{"soon", claims{"nbf": now.Unix() + 29}, nil},
		{"another issuer", claims{"iss": "Me"}, ErrInvalid},
		{"no issuer", claims{"iss": nil}, ErrInvalid},
		{"another audience", claims{"aud": "x"}, ErrInvalid},
		{"no identity", claims{"email": nil, "sub": "anna"}, ErrInvalid},
		{"an empty identity", claims{"email": ""}, ErrInvalid},
		{"an identity that is a number", claims{"email": 7}, ErrInvalid},
		{"an identity with a newline", claims{"email": "a\nb"}, ErrInvalid},
		{"a long identity", claims{"email": strings.Repeat("a", maxIdentity+1)}, ErrInvalid},
		{"roles that are a number", claims{"groups": 7}, ErrInvalid},
		{"roles with a number", claims{"groups": []any{"a", 7}}, ErrInvalid},
		{"many roles", claims{"groups": make([]string, maxRoles+1)}, ErrInvalid},
		{"no roles", claims{"groups": nil}, nil},
	} {
		_, err := v.Token(sign(t, "HS256", base(tt.change), nil), now)
		if err != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	g, err := v.Token(sign(t, "HS256", base(claims{"groups": []string{"a", "b"}}), nil), now)
	if err != nil || g.Identity != "a@b" || !slices.Equal(g.Roles, []string{"a", "b"}) ||
		!g.Expires.Equal(time.Unix(now.Unix()+60, 0).Add(leeway)) {
		t.Errorf("%+v %v", g, err)
	}
	g, err = v.Token(sign(t, "HS256", base(claims{"groups": "a b"}), nil), now)
	if err != nil || !slices.Equal(g.Roles, []string{"a b"}) {
		t.Errorf("%+v %v", g, err)
	}
}

// keySetOf writes public keys as a set.
func keySetOf(t testing.TB, keys ...jwkset.JWKMarshal) string {
	t.Helper()
	var b strings.Builder
	for i, k := range keys {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"kty":%q,"kid":%q,"alg":%q,"use":%q,"crv":%q,"x":%q,"y":%q,"n":%q,`+
			`"e":%q,"k":%q,"ext":true}`, k.KTY, k.KID, k.ALG, k.USE, k.CRV, k.X, k.Y, k.N, k.E, k.K)
	}
	text := strings.NewReplacer(`"alg":"",`, "", `"use":"",`, "").Replace(b.String())
	return write(t, "jwks.json", []byte(`{"keys":[`+text+`]}`))
}

// jwk is the public half of a key, or a secret.
func jwk(t testing.TB, algorithm, id string) jwkset.JWKMarshal {
	t.Helper()
	var material any = secret
	if s, ok := signerOf(algorithm).(crypto.Signer); ok {
		material = s.Public()
	}
	j, err := jwkset.NewJWKFromKey(material, jwkset.JWKOptions{
		Marshal:  jwkset.JWKMarshalOptions{Private: true},
		Metadata: jwkset.JWKMetadataOptions{KID: id},
	})
	if err != nil {
		t.Fatal(err)
	}
	return j.Marshal()
}

func TestKeySet(t *testing.T) {
	hs := jwk(t, "HS256", "h")
	hs.ALG = "HS256"
	encrypts := jwk(t, "ES384", "enc")
	encrypts.USE = jwkset.UseEnc
	path := keySetOf(t, jwk(t, "RS256", "r"), jwk(t, "ES256", "e"), jwk(t, "EdDSA", "d"), hs,
		encrypts)
	v := verifierOf(t, Source{Signed: Signed{KeySet: path}})
	for _, tt := range []struct {
		algorithm, id string
		want          error
	}{
		{"RS256", "r", nil}, {"ES256", "e", nil}, {"EdDSA", "d", nil}, {"HS256", "h", nil},
		{"RS256", "", nil}, {"EdDSA", "", nil}, {"RS512", "r", ErrInvalid},
		{"PS256", "r", ErrInvalid}, {"ES384", "enc", ErrInvalid}, {"RS256", "e", ErrInvalid},
	} {
		header := map[string]any{"kid": tt.id}
		if tt.id == "" {
			header = nil
		}
		if _, err := v.Token(sign(t, tt.algorithm, good(), header), now); err != tt.want {
			t.Errorf("%s %s: %v", tt.algorithm, tt.id, err)
		}
	}
}

// What is wrong with the configuration is said, with its key.
func TestConfigurationErrors(t *testing.T) {
	private, _ := x509.MarshalPKCS8PrivateKey(keysOnce()["RS"])
	privatePEM := write(t, "p", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	small, _ := rsa.GenerateKey(rand.Reader, 1024)
	smallDER, _ := x509.MarshalPKIXPublicKey(&small.PublicKey)
	smallPEM := write(t, "s", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: smallDER}))
	token := func(list ...Token) Source { return Source{Tokens: list} }
	file := func(algorithm, path string) Source {
		return Source{Signed: Signed{Keys: []KeyFile{{"", algorithm, path}}}}
	}
	set := func(text string) Source {
		return Source{Signed: Signed{KeySet: write(t, "jwks", []byte(text))}}
	}
	coded := base64.RawURLEncoding.EncodeToString(secret)
	secretJWK := `{"keys":[{"kty":"oct","k":"` + coded + `"}]}`
	for _, tt := range []struct {
		from Source
		want string
	}{
		{token(Token{Identity: "a", SHA256: "12"}), "auth.tokens[0]: sha256 is not 64"},
		{token(Token{Identity: "a", SHA256: strings.Repeat("x", 64)}), "sha256 is not 64"},
		{token(Token{SHA256: Hash("a")}), "auth.tokens[0]: an identity is not empty"},
		{token(Token{Identity: "a\x00", SHA256: Hash("a")}), "no control characters"},
		{token(Token{Identity: "a", SHA256: Hash("a")}, Token{Identity: "b", SHA256: Hash("a")}),
			`auth.tokens[1]: the same token is "a"'s already`},
		{file("RS256", "/nowhere"), "auth.jwt.keys[0]: open /nowhere"},
		{file("RS257", publicFile(t, "RS256")), `algorithm "RS257"`},
		{file("none", publicFile(t, "RS256")), `algorithm "none"`},
		{file("RS256", publicFile(t, "ES256")), "not one for RS256"},
		{file("ES256", publicFile(t, "ES384")), "not one for ES256"},
		{file("RS256", privatePEM), "private key: a public key is needed"},
		{file("RS256", smallPEM), "1024 bits, at least 2048"},
		{file("RS256", publicFile(t, "HS256")), "no PEM block"},
		{file("HS256", publicFile(t, "RS256")), "takes a secret, and this is public key"},
		{file("HS256", write(t, "short", []byte("short\n"))), "5 bytes, HS256 needs at least 32"},
		{set("x"), "no JSON Web Key Set"}, {set(`{}`), `"keys" is missing`},
		{set(`{"keys":[]}`), "no key in it"}, {set(`{"keys":[{"kty":"RSA"}]}`), "keys[0]"},
		{set(secretJWK), "keys[0]: algorithm"},
		{Source{Signed: Signed{Keys: []KeyFile{{"k", "RS256", publicFile(t, "RS256")},
			{"", "RS256", publicFile(t, "RS256")}, {"k", "RS256", publicFile(t, "RS512")}}}},
			`auth.jwt.keys[2]: another key is there with the kid "k" for RS256`},
		{Source{Signed: Signed{KeySet: keySetOf(t, jwk(t, "ES256", "k"), jwk(t, "ES256", "k"))}},
			`auth.jwt.keys: another key is there with the kid "k" for ES256`},
		{Source{Certificate: Certificate{CA: publicFile(t, "RS256")}}, "no certificate in it"},
		{Source{Certificate: Certificate{CA: caFile(t), Identity: "x"}}, `identity "x" is none`},
	} {
		_, err := New(tt.from)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
	if v := verifierOf(t, Source{}); v.Configured() {
		t.Error("nothing is configured")
	}
}

// After a reload a grant stands whose token, key or authority is still there, as the configuration
// has it now.
func TestAgain(t *testing.T) {
	text := NewToken()
	is := func(roles ...string) Source {
		return Source{
			Tokens: []Token{{Identity: "anna", SHA256: Hash(text), Roles: roles}},
			Signed: Signed{Keys: []KeyFile{{"k", "HS256", publicFile(t, "HS256")}}},
		}
	}
	before, same := verifierOf(t, is("a")), verifierOf(t, is("b"))
	static, _ := before.Token(text, now)
	signed, err := before.Token(sign(t, "HS256", good(), nil), now)
	if err != nil {
		t.Fatal(err)
	}
	if g := same.Again(static, now); g == nil || !slices.Equal(g.Roles, []string{"b"}) {
		t.Errorf("%+v", g)
	}
	if g := same.Again(signed, now); g != signed {
		t.Errorf("%+v", g)
	}
	gone := verifierOf(t, Source{Signed: Signed{
		Keys: []KeyFile{{"k", "HS512", publicFile(t, "HS512")}}}})
	if gone.Again(static, now) != nil || gone.Again(signed, now) != nil {
		t.Error("a grant outlives its token, or its key")
	}
	other := is("a")
	other.Tokens[0].Identity = "bob"
	if verifierOf(t, other).Again(static, now) != nil {
		t.Error("a grant became somebody else's")
	}
	certificateAgain(t)
	if got := before.Identities(); !slices.Equal(got, []string{"anna"}) {
		t.Error(got)
	}
}

// certificateAgain: a certificate is looked at again only under another authority, or when another
// part of it is the identity; then it is somebody else's.
func certificateAgain(t *testing.T) {
	t.Helper()
	ca := Certificate{CA: caFile(t), Identity: CommonName}
	before := verifierOf(t, Source{Certificate: ca})
	g, err := before.Certificate([]*x509.Certificate{issue(t, nil)}, now)
	if err != nil {
		t.Fatal(err)
	}
	if same := verifierOf(t, Source{Certificate: ca}); same.Slow(g) || same.Again(g, now) != g {
		t.Error("nothing has changed, and it is looked at again")
	}
	text, err := os.ReadFile(ca.CA)
	if err != nil {
		t.Fatal(err)
	}
	larger := Certificate{CA: write(t, "larger", append(text, text...)), Identity: CommonName}
	v := verifierOf(t, Source{Certificate: larger})
	if again := v.Again(g, now); !v.Slow(g) || again == nil || again.Identity != g.Identity ||
		!v.Gave(again) {
		t.Errorf("another file with its authority: %+v", again)
	}
	for name, c := range map[string]Certificate{
		"no authority":     {},
		"another part":     {CA: ca.CA, Identity: SubjectIdentity},
		"another identity": {CA: ca.CA, Identity: AlternativeName},
	} {
		if again := verifierOf(t, Source{Certificate: c}).Again(g, now); again != nil {
			t.Errorf("%s: it is %q's", name, again.Identity)
		}
	}
}

var authorityOnce = sync.OnceValues(func() (*x509.Certificate, *ecdsa.PrivateKey) {
	k := keysOnce()["ES256"].(*ecdsa.PrivateKey)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, _ := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	c, _ := x509.ParseCertificate(der)
	return c, k
})

func caFile(t testing.TB) string {
	t.Helper()
	ca, _ := authorityOnce()
	return write(t, "ca", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}))
}

// issue makes a client's certificate; change may be nil.
func issue(t testing.TB, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	ca, k := authorityOnce()
	uri, _ := url.Parse("spiffe://x/y")
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject: pkix.Name{
			CommonName: "anna", Organization: []string{"A, B"}, Country: []string{"DE"},
		},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Minute), URIs: []*url.URL{uri},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := x509.ParseCertificate(der)
	return c
}

func TestCertificates(t *testing.T) {
	path := caFile(t)
	for _, tt := range []struct {
		identity, want string
		change         func(*x509.Certificate)
		err            error
	}{
		{"", `CN=anna,O=A\, B,C=DE`, nil, nil}, {"cn", "anna", nil, nil},
		{"san", "spiffe://x/y", nil, nil},
		{"san", "a.example", func(c *x509.Certificate) { c.DNSNames = []string{"a.example"} }, nil},
		{"san", "", func(c *x509.Certificate) { c.URIs = nil }, ErrInvalid},
		{"cn", "", func(c *x509.Certificate) { c.Subject.CommonName = "" }, ErrInvalid},
		{"cn", "", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }, ErrExpired},
		{"cn", "", func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }, ErrInvalid},
		{"cn", "", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}, ErrInvalid},
	} {
		v := verifierOf(t, Source{Certificate: Certificate{CA: path, Identity: tt.identity}})
		g, err := v.Certificate([]*x509.Certificate{issue(t, tt.change)}, now)
		if err != tt.err || err == nil && (g.Identity != tt.want ||
			!g.Expires.Equal(now.Add(time.Minute))) {
			t.Errorf("%s: %+v %v", tt.want, g, err)
		}
		if err == nil && v.Again(g, now) == nil {
			t.Error("the same authority does not stand by it")
		}
		if err == nil && verifierOf(t, Source{}).Again(g, now) != nil {
			t.Error("a grant outlives its authority")
		}
	}
	// Signed by itself.
	k := keysOnce()["ES384"]
	self := &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "anna"},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Minute)}
	der, _ := x509.CreateCertificate(rand.Reader, self, self, k.Public(), k)
	c, _ := x509.ParseCertificate(der)
	v := verifierOf(t, Source{Certificate: Certificate{CA: path}})
	if _, err := v.Certificate([]*x509.Certificate{c}, now); err != ErrInvalid {
		t.Error(err)
	}
	if _, err := v.Certificate(nil, now); err != ErrInvalid {
		t.Error(err)
	}
}

func BenchmarkStatic(b *testing.B) {
	v := verifierOf(b, Source{Tokens: []Token{{Identity: "a", SHA256: Hash("known")}}})
	for b.Loop() {
		_, _ = v.Token("known", now)
	}
}

func BenchmarkSigned(b *testing.B) {
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		b.Run(algorithm, func(b *testing.B) {
			v := verifierOf(b, Source{Signed: Signed{
				Keys: []KeyFile{{"", algorithm, publicFile(b, algorithm)}}}})
			token := sign(b, algorithm, good(), nil)
			for b.Loop() {
				if _, err := v.Token(token, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
