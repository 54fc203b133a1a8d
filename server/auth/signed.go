package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Signed is how tokens are checked that somebody else has signed (JSON Web Tokens, RFC 7519).
type Signed struct {
	KeySet   string    // path of a JSON Web Key Set; "" : Keys
	Keys     []KeyFile // with KeySet there are none
	Issuer   string    // that a token must name; "" : any
	Audience string    // that a token must name among others; "" : any
	Leeway   time.Duration
	Identity string // the claim that is the identity; "" : "sub"
	Roles    string // the claim that names roles, one or a list; "" : "roles"
}

// KeyFile is a key and what it is for.
type KeyFile struct{ ID, Algorithm, File string }

// signed checks signed tokens. Immutable.
type signed struct {
	keys            []*key
	options         []jwt.ParserOption // but the time
	leeway          time.Duration
	identity, roles string
}

// newSigned returns nil when no key is configured.
func newSigned(s Signed) (*signed, error) {
	v := &signed{leeway: s.Leeway, identity: s.Identity, roles: s.Roles}
	if s.KeySet != "" {
		var err error
		if v.keys, err = readKeySet(s.KeySet); err != nil {
			return nil, &Error{"jwt.keys", err}
		}
	}
	for i, f := range s.Keys {
		k, err := readKey(f)
		if err != nil {
			return nil, &Error{fmt.Sprintf("jwt.keys[%d]", i), err}
		}
		v.keys = append(v.keys, k)
	}
	if i := twice(v.keys); i >= 0 {
		key, k := fmt.Sprintf("jwt.keys[%d]", i), v.keys[i]
		if s.KeySet != "" {
			key = "jwt.keys"
		}
		return nil, &Error{key, fmt.Errorf("another key is there with the kid %q for %s",
			k.id, k.algorithm)}
	}
	switch {
	case len(v.keys) == 0:
		return nil, nil
	case len(v.keys) > maxKeys:
		return nil, &Error{"jwt.keys", fmt.Errorf("%d keys, at most %d are allowed",
			len(v.keys), maxKeys)}
	}
	if v.identity == "" {
		v.identity = "sub"
	}
	if v.roles == "" {
		v.roles = "roles"
	}
	v.options = []jwt.ParserOption{
		jwt.WithExpirationRequired(), jwt.WithStrictDecoding(), jwt.WithLeeway(s.Leeway),
	}
	if s.Issuer != "" {
		v.options = append(v.options, jwt.WithIssuer(s.Issuer))
	}
	if s.Audience != "" {
		v.options = append(v.options, jwt.WithAudience(s.Audience))
	}
	return v, nil
}

// twice returns the position of the first key that an earlier one shares its ID and algorithm with,
// -1 when there is none: of two that cannot be told apart one was probably to be replaced.
func twice(keys []*key) int {
	for i, k := range keys {
		if k.id != "" && slices.ContainsFunc(keys[:i], func(other *key) bool {
			return other.id == k.id && other.algorithm == k.algorithm
		}) {
			return i
		}
	}
	return -1
}

// verify checks a token, at most MaxToken bytes. A token has one spelling: encoding/base64 passes
// over line breaks, though it is strict.
func (s *signed) verify(token string, now time.Time) (*Grant, error) {
	if strings.ContainsAny(token, "\r\n") {
		return nil, ErrInvalid
	}
	header, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		return nil, ErrInvalid
	}
	at := jwt.WithTimeFunc(func() time.Time { return now })
	for _, k := range s.candidates(header) {
		claims := jwt.MapClaims{}
		parser := jwt.NewParser(append(slices.Clip(s.options), at,
			jwt.WithValidMethods([]string{k.algorithm}))...)
		_, err := parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) {
			return k.material, nil
		})
		if err == nil {
			return s.grant(k, claims)
		}
		if !errors.Is(err, jwt.ErrTokenSignatureInvalid) {
			return nil, refusal(err)
		}
	}
	return nil, ErrInvalid
}

// refusal says why a token is refused whose signature is good: expired when nothing else is wrong.
func refusal(err error) error {
	for _, other := range []error{
		jwt.ErrTokenMalformed, jwt.ErrTokenUnverifiable, jwt.ErrTokenRequiredClaimMissing,
		jwt.ErrTokenInvalidAudience, jwt.ErrTokenInvalidIssuer, jwt.ErrTokenNotValidYet,
		jwt.ErrTokenUsedBeforeIssued, jwt.ErrInvalidType,
	} {
		if errors.Is(err, other) {
			return ErrInvalid
		}
	}
	if errors.Is(err, jwt.ErrTokenExpired) {
		return ErrExpired
	}
	return ErrInvalid
}

// grant is what the claims of a good token are good for.
func (s *signed) grant(k *key, claims jwt.MapClaims) (*Grant, error) {
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil {
		return nil, ErrInvalid
	}
	identity, _ := claims[s.identity].(string)
	if checkIdentity(identity) != nil {
		return nil, ErrInvalid
	}
	roles, ok := rolesOf(claims[s.roles])
	if !ok {
		return nil, ErrInvalid
	}
	return &Grant{
		Identity: identity, Roles: roles, Expires: expires.Add(s.leeway), key: k,
	}, nil
}

// rolesOf reads a claim: a list of texts, or one. There may be none.
func rolesOf(claim any) (roles []string, ok bool) {
	switch c := claim.(type) {
	case nil:
		return nil, true
	case string:
		return []string{c}, true
	case []any:
		if len(c) > maxRoles {
			return nil, false
		}
		for _, one := range c {
			name, ok := one.(string)
			if !ok {
				return nil, false
			}
			roles = append(roles, name)
		}
		return roles, true
	}
	return nil, false
}

// candidates are the keys of a token's algorithm that its key ID leaves: those of that name and
// those without one; all when it names none. The ID is compared, and nothing else is done with it.
func (s *signed) candidates(t *jwt.Token) (keys []*key) {
	algorithm, _ := t.Header["alg"].(string)
	id, named := t.Header["kid"].(string)
	for _, k := range s.keys {
		if k.algorithm == algorithm && (!named || k.id == "" || k.id == id) {
			keys = append(keys, k)
		}
	}
	return keys
}
