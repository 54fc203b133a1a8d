package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Auth says who may connect, and what becomes of who gives wrong credentials.
type Auth struct {
	Required         string        // RequiredAuto, RequiredTrue or RequiredFalse
	Timeout          time.Duration // from system.initialize to authenticated
	Tokens           Tokens
	JWT              JWT
	Certificate      Certificate
	LockoutThreshold int // failures of one client address; 0 = never locked out
	LockoutDuration  time.Duration
}

// Values of auth.required.
const (
	RequiredAuto  = "auto" // true when there is any way to authenticate
	RequiredTrue  = "true"
	RequiredFalse = "false" // who gives no credentials is anonymous
)

// Configured says whether there is any way to authenticate.
func (a *Auth) Configured() bool {
	return len(a.Tokens) > 0 || a.JWT.Keys.Set != "" || len(a.JWT.Keys.Files) > 0 ||
		a.Certificate.CA != ""
}

// Demanded says whether who gives no credentials may do nothing.
func (a *Auth) Demanded() bool {
	return a.Required == RequiredTrue || a.Required == RequiredAuto && a.Configured()
}

// JWT says which signed tokens are accepted.
type JWT struct {
	Keys          JWTKeys
	Issuer        string // "" = any
	Audience      string // "" = any
	Leeway        time.Duration
	IdentityClaim string
	RolesClaim    string
}

// Certificate says which clients' certificates are accepted.
type Certificate struct {
	CA       string // path; "" = none
	Required bool
	Identity string // "subject", "cn" or "san"
}

// Token is a token that the node knows by its hash.
type Token struct {
	Identity string     `json:"identity"`
	SHA256   string     `json:"sha256"`
	Roles    []string   `json:"roles,omitempty"`
	Expires  *time.Time `json:"expires,omitempty"` // nil: never
}

// Tokens is a list of tokens.
type Tokens []Token

func (t *Tokens) read(n *yaml.Node) error {
	*t = nil
	return eachItem(n, "tokens", func(item *yaml.Node) error {
		var one Token
		err := eachPart(item, "identity, sha256, roles and expires", one.readPart)
		switch {
		case err != nil:
			return err
		case one.Identity == "":
			return fmt.Errorf("identity is missing")
		case one.SHA256 == "":
			return fmt.Errorf("sha256 is missing: mb token hash makes it of a token")
		}
		*t = append(*t, one)
		return nil
	})
}

func (t *Token) readPart(name string, value *yaml.Node) (err error) {
	switch name {
	case "identity":
		t.Identity, err = textOf(value)
	case "sha256":
		// Digits alone are a number to YAML.
		if t.SHA256 = value.Value; value.Kind != yaml.ScalarNode {
			err = fmt.Errorf("must be text, and is %s", kindOf(value))
		}
	case "roles":
		t.Roles, err = textsOf(value, "roles")
	case "expires":
		at, bad := time.Parse(time.RFC3339, value.Value)
		if bad != nil {
			return fmt.Errorf("%s: must be a time as in 2027-01-31T12:00:00Z", describe(value))
		}
		t.Expires = &at
	default:
		return unknownPart("identity", "sha256", "roles", "expires")
	}
	return err
}

// MarshalJSON writes a list, not null.
func (t Tokens) MarshalJSON() ([]byte, error) { return json.Marshal(append([]Token{}, t...)) }

// JWTKeys is the path of a JSON Web Key Set, or a list of keys.
type JWTKeys struct {
	Set   string
	Files []JWTKey
}

// JWTKey is a key and the one algorithm that it is for.
type JWTKey struct {
	KID  string `json:"kid,omitempty"` // "" = it has none
	Alg  string `json:"alg"`
	File string `json:"file"` // path of PEM, or for HS of the secret
}

func (k *JWTKeys) read(n *yaml.Node) (err error) {
	*k = JWTKeys{}
	if n.Kind == yaml.ScalarNode {
		k.Set, err = textOf(n)
		return err
	}
	return eachItem(n, "keys, or the path of a JWKS file", func(item *yaml.Node) error {
		var one JWTKey
		err := eachPart(item, "kid, alg and file", func(name string, value *yaml.Node) (err error) {
			switch name {
			case "kid":
				one.KID, err = textOf(value)
			case "alg":
				one.Alg, err = textOf(value)
			case "file":
				one.File, err = textOf(value)
			default:
				return unknownPart("kid", "alg", "file")
			}
			return err
		})
		switch {
		case err != nil:
			return err
		case one.Alg == "":
			return fmt.Errorf("alg is missing")
		case one.File == "":
			return fmt.Errorf("file is missing")
		}
		k.Files = append(k.Files, one)
		return nil
	})
}

// MarshalJSON writes a path, or a list.
func (k JWTKeys) MarshalJSON() ([]byte, error) {
	if k.Set != "" {
		return json.Marshal(k.Set)
	}
	return json.Marshal(append([]JWTKey{}, k.Files...))
}

// Permissions say who may do what (protocol §10).
type Permissions struct {
	Roles      Roles
	Identities Identities
	Default    Names // roles of an identity without any
	Anonymous  Names // roles of who gave no credentials
}

// Lists are the topic patterns of one verb of a role.
type Lists struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// Role is what a role may do.
type Role struct {
	Publish   Lists    `json:"publish,omitzero"`
	Subscribe Lists    `json:"subscribe,omitzero"`
	Request   Lists    `json:"request,omitzero"`
	Respond   Lists    `json:"respond,omitzero"`
	System    []string `json:"system,omitempty"`
}

// Roles are the roles by name.
type Roles map[string]Role

func (r *Roles) read(n *yaml.Node) error {
	*r = nil
	return eachPart(n, "roles", func(name string, value *yaml.Node) error {
		var role Role
		err := eachPart(value, "publish, subscribe, request, respond and system", role.readPart)
		if *r == nil {
			*r = make(Roles)
		}
		(*r)[name] = role
		return err
	})
}

func (r *Role) readPart(name string, value *yaml.Node) (err error) {
	switch name {
	case "publish":
		return r.Publish.read(value)
	case "subscribe":
		return r.Subscribe.read(value)
	case "request":
		return r.Request.read(value)
	case "respond":
		return r.Respond.read(value)
	case "system":
		r.System, err = textsOf(value, "words")
		return err
	}
	return unknownPart("publish", "subscribe", "request", "respond", "system")
}

func (l *Lists) read(n *yaml.Node) error {
	return eachPart(n, "allow and deny", func(name string, value *yaml.Node) (err error) {
		switch name {
		case "allow":
			l.Allow, err = textsOf(value, "topic patterns")
		case "deny":
			l.Deny, err = textsOf(value, "topic patterns")
		default:
			return unknownPart("allow", "deny")
		}
		return err
	})
}

// MarshalJSON writes a map, not null. Patterns and names stay readable.
func (r Roles) MarshalJSON() ([]byte, error) { return plainJSON(map[string]Role(r), len(r)) }

// Identities are the roles of identities, by identity.
type Identities map[string][]string

func (i *Identities) read(n *yaml.Node) error {
	*i = nil
	return eachPart(n, "identities", func(name string, value *yaml.Node) (err error) {
		if *i == nil {
			*i = make(Identities)
		}
		(*i)[name], err = textsOf(value, "roles")
		return err
	})
}

// MarshalJSON writes a map, not null.
func (i Identities) MarshalJSON() ([]byte, error) {
	return plainJSON(map[string][]string(i), len(i))
}

// RoleRates are the rates of roles in messages per second, by role; 0 = no limit.
type RoleRates map[string]int

func (r *RoleRates) read(n *yaml.Node) error {
	*r = nil
	return eachPart(n, "roles to numbers", func(name string, value *yaml.Node) error {
		if value.Kind != yaml.ScalarNode {
			return fmt.Errorf("must be a whole number, and is %s", kindOf(value))
		}
		rate, err := wholeNumber(strings.TrimSpace(value.Value))
		if err != nil {
			return fmt.Errorf("%s: %w", kindOf(value), err)
		}
		if _, err := keyByName[roleRatesKey].inRange(rate); err != nil {
			return fmt.Errorf("%d: %w", rate, err)
		}
		if *r == nil {
			*r = make(RoleRates)
		}
		(*r)[name] = int(rate)
		return nil
	})
}

// MarshalJSON writes a map, not null.
func (r RoleRates) MarshalJSON() ([]byte, error) { return plainJSON(map[string]int(r), len(r)) }

// Names is a list of names.
type Names []string

func (l *Names) read(n *yaml.Node) (err error) {
	*l, err = textsOf(n, "names")
	return err
}

// MarshalJSON writes a list, not null.
func (l Names) MarshalJSON() ([]byte, error) { return json.Marshal(append([]string{}, l...)) }

// plainJSON is a map of n entries as JSON, without escapes for HTML.
func plainJSON(m any, n int) ([]byte, error) {
	if n == 0 {
		return []byte("{}"), nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(m)
	return bytes.TrimSpace(b.Bytes()), err
}
