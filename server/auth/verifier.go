package auth

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Source is what the configuration says of authentication.
type Source struct {
	Tokens      []Token
	Signed      Signed
	Certificate Certificate
}

// Why credentials are refused (protocol §10, the reasons of UNAUTHORIZED).
var (
	ErrInvalid = errors.New("invalid")
	ErrExpired = errors.New("expired")
)

// Grant is what credentials are good for. Immutable.
type Grant struct {
	Identity string
	Roles    []string  // as the credentials name them
	Expires  time.Time // when it ends, by the wall clock; zero: never

	by uint64 // the verifier that gave it

	// Of these one says what the grant rests on.
	token [sha256.Size]byte
	key   *key
	leaf  *x509.Certificate
	via   []*x509.Certificate // what leaf's peer sent beside it
	under [sha256.Size]byte   // the authority that leaf was held against
}

// Verifier checks credentials. Immutable; any goroutine but a loop's.
type Verifier struct {
	number      uint64 // no other has it
	tokens      map[[sha256.Size]byte]*Grant
	identities  []string // that tokens are for
	signed      *signed  // nil: none are accepted
	certificate *authority
}

// MaxToken is how many bytes a token may have in a message; MaxTokenUpgrade in a handshake
// (protocol §10).
const (
	MaxToken        = 8 << 10
	MaxTokenUpgrade = 4 << 10
)

// verifiers counts them.
var verifiers atomic.Uint64

// New makes a verifier. An error is an *Error that names the key.
func New(s Source) (*Verifier, error) {
	v := &Verifier{
		number: verifiers.Add(1), tokens: make(map[[sha256.Size]byte]*Grant, len(s.Tokens)),
	}
	named := make(map[string]bool, len(s.Tokens))
	for i, t := range s.Tokens {
		if err := v.add(t); err != nil {
			return nil, &Error{fmt.Sprintf("tokens[%d]", i), err}
		}
		if !named[t.Identity] {
			named[t.Identity] = true
			v.identities = append(v.identities, t.Identity)
		}
	}
	var err error
	if v.signed, err = newSigned(s.Signed); err != nil {
		return nil, err
	}
	if v.certificate, err = newAuthority(s.Certificate); err != nil {
		return nil, &Error{"certificate", err}
	}
	return v, nil
}

// Error is what is wrong with a Source. Key is relative to "auth.".
type Error struct {
	Key string
	Err error
}

// Error names the key.
func (e *Error) Error() string { return "auth." + e.Key + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

func (v *Verifier) add(t Token) error {
	if err := checkIdentity(t.Identity); err != nil {
		return err
	}
	sum, err := parseHash(t.SHA256)
	if err != nil {
		return err
	}
	if other := v.tokens[sum]; other != nil {
		return fmt.Errorf("the same token is %q's already", other.Identity)
	}
	v.tokens[sum] = &Grant{
		Identity: t.Identity, Roles: slices.Clone(t.Roles), Expires: t.Expires,
		by: v.number, token: sum,
	}
	return nil
}

// Identities returns those that the configuration names in tokens.
func (v *Verifier) Identities() []string { return v.identities }

// Roles returns those of the tokens of an identity that the configuration names.
func (v *Verifier) Roles(identity string) (roles []string) {
	if v == nil {
		return nil
	}
	for _, g := range v.tokens {
		if g.Identity == identity {
			roles = append(roles, g.Roles...)
		}
	}
	return roles
}

// Configured says whether there is any way to authenticate.
func (v *Verifier) Configured() bool {
	return len(v.tokens) > 0 || v.signed != nil || v.certificate != nil
}

// Token checks a token at a time by the wall clock. The error is ErrInvalid or ErrExpired. One of
// more than MaxToken bytes is invalid.
func (v *Verifier) Token(token string, now time.Time) (*Grant, error) {
	if token == "" || len(token) > MaxToken {
		return nil, ErrInvalid
	}
	if g := v.tokens[sha256.Sum256([]byte(token))]; g != nil {
		if g.over(now) {
			return nil, ErrExpired
		}
		return g, nil
	}
	if v.signed == nil || strings.Count(token, ".") != 2 {
		return nil, ErrInvalid
	}
	g, err := v.signed.verify(token, now)
	if g != nil {
		g.by = v.number
	}
	return g, err
}

// over says whether g has ended.
func (g *Grant) over(now time.Time) bool { return !g.Expires.IsZero() && !now.Before(g.Expires) }

// Gave says whether g is of this verifier, and not of an earlier one.
func (v *Verifier) Gave(g *Grant) bool { return g.by == v.number }

// Slow says that Again has to check the signatures of a chain of certificates, which may take a
// millisecond: its authority has changed.
func (v *Verifier) Slow(g *Grant) bool {
	return g != nil && g.leaf != nil && v.certificate != nil && v.certificate.print != g.under
}

// Again returns what has become of a grant that an earlier verifier gave: itself, or what the
// configuration makes of its token now. It is nil when its token, key or authority is gone, or when
// it would be somebody else's. It takes a loop no time, unless Slow says so.
func (v *Verifier) Again(g *Grant, now time.Time) *Grant {
	switch {
	case g.key != nil:
		if v.signed != nil && v.signed.has(g.key) {
			return g
		}
		return nil
	case g.leaf != nil:
		if v.certificate == nil {
			return nil
		}
		if v.certificate.print == g.under {
			return g
		}
		again, err := v.Certificate(append([]*x509.Certificate{g.leaf}, g.via...), now)
		if err != nil || again.Identity != g.Identity {
			return nil
		}
		return again
	}
	if again := v.tokens[g.token]; again != nil && again.Identity == g.Identity {
		return again
	}
	return nil
}
