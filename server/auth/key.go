package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"
)

// key checks signatures of one algorithm, and of no other: a public key is never taken for a
// secret.
type key struct {
	id        string // "" when it has none
	algorithm string // as in the header of a token
	material  any    // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or []byte
	print     [sha256.Size]byte
}

// algorithms are those of RFC 7518 §3.1 and RFC 8037 that are accepted; of HMAC and of elliptic
// curves with the size that each asks for.
var algorithms = map[string]struct {
	secret int    // least bytes of the secret (RFC 7518 §3.2)
	curve  string // RFC 7518 §3.4
}{
	"HS256": {secret: 32}, "HS384": {secret: 48}, "HS512": {secret: 64},
	"RS256": {}, "RS384": {}, "RS512": {}, "PS256": {}, "PS384": {}, "PS512": {},
	"ES256": {curve: "P-256"}, "ES384": {curve: "P-384"}, "ES512": {curve: "P-521"},
	"EdDSA": {},
}

// minRSA is the least size of an RSA key in bits (RFC 7518 §3.3).
const minRSA = 2048

// maxKeys bounds the keys of a node: a token that names none is tried with each of its algorithm.
const maxKeys = 64

// newKey checks that material fits an algorithm.
func newKey(id, algorithm string, material any) (*key, error) {
	want, ok := algorithms[algorithm]
	if !ok {
		return nil, fmt.Errorf("algorithm %q is none of HS, RS, PS, ES with 256, 384 or 512, "+
			"or EdDSA", algorithm)
	}
	k := &key{id: id, algorithm: algorithm, material: material}
	fits := false
	var raw []byte
	switch m := material.(type) {
	case []byte:
		fits, raw = want.secret > 0, m
		if fits && len(m) < want.secret {
			return nil, fmt.Errorf("the secret has %d bytes, %s needs at least %d",
				len(m), algorithm, want.secret)
		}
	case *rsa.PublicKey:
		fits = strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
		if fits && m.N.BitLen() < minRSA {
			return nil, fmt.Errorf("an RSA key of %d bits, at least %d are needed",
				m.N.BitLen(), minRSA)
		}
	case *ecdsa.PublicKey:
		fits = want.curve != "" && want.curve == m.Curve.Params().Name
	case ed25519.PublicKey:
		fits = algorithm == "EdDSA"
	default:
		return nil, errors.New("a private key, or one of a kind that checks no signatures: " +
			"a public key is needed")
	}
	if !fits {
		return nil, fmt.Errorf("the key is not one for %s", algorithm)
	}
	if raw == nil {
		var err error
		if raw, err = x509.MarshalPKIXPublicKey(material); err != nil {
			return nil, err
		}
	}
	k.print = sha256.Sum256(append([]byte(algorithm+"\x00"+id+"\x00"), raw...))
	return k, nil
}

// readKey reads a key from a file: PEM, or for HS the secret's bytes without a newline at the end.
func readKey(f KeyFile) (*key, error) {
	text, err := os.ReadFile(f.File)
	if err != nil {
		return nil, err
	}
	k, err := parseKey(f, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.File, err)
	}
	return k, nil
}

func parseKey(f KeyFile, text []byte) (*key, error) {
	if algorithms[f.Algorithm].secret > 0 {
		secret := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
		if block, _ := pem.Decode(text); block != nil {
			return nil, fmt.Errorf("%s takes a secret, and this is %s",
				f.Algorithm, strings.ToLower(block.Type))
		}
		return newKey(f.ID, f.Algorithm, secret)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block in it")
	}
	var material any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		material, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		material, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			material = c.PublicKey
		}
	default:
		err = fmt.Errorf("it holds a %s: a public key is needed", strings.ToLower(block.Type))
	}
	if err != nil {
		return nil, err
	}
	return newKey(f.ID, f.Algorithm, material)
}

// readKeySet reads a file with a JSON Web Key Set (RFC 7517 §5). Keys that are for encryption, and
// those of a kind that signs nothing, are left out.
func readKeySet(path string) ([]*key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeySet(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

func parseKeySet(text []byte) (keys []*key, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("no JSON Web Key Set: %w", err)
	}
	if set.Keys == nil {
		return nil, errors.New(`no JSON Web Key Set: "keys" is missing`)
	}
	for i, raw := range set.Keys {
		j, err := jwkset.NewJWKFromRawJSON(raw,
			jwkset.JWKMarshalOptions{Private: true}, jwkset.JWKValidateOptions{})
		if errors.Is(err, jwkset.ErrUnsupportedKey) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		m := j.Marshal()
		if m.USE == jwkset.UseEnc {
			continue
		}
		algorithm := m.ALG.String()
		if algorithm == "" {
			algorithm = algorithmOf(j.Key())
		}
		k, err := newKey(m.KID, algorithm, j.Key())
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("no key in it that checks signatures")
	}
	return keys, nil
}

// algorithmOf is the algorithm of a key that names none: what its kind has only one of, or what
// everybody uses. A secret has to name it.
func algorithmOf(material any) string {
	switch m := material.(type) {
	case *rsa.PublicKey:
		return "RS256"
	case ed25519.PublicKey:
		return "EdDSA"
	case *ecdsa.PublicKey:
		for name, a := range algorithms {
			if a.curve == m.Curve.Params().Name {
				return name
			}
		}
	}
	return ""
}

// has says whether the same key is there.
func (s *signed) has(k *key) bool {
	return slices.ContainsFunc(s.keys, func(mine *key) bool { return mine.print == k.print })
}
