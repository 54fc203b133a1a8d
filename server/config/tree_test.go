package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// Lists and maps of authentication and permissions come from the file as they are written there.
func TestTrees(t *testing.T) {
	c := mustLoad(t, `
auth:
  required: true
  tokens:
    - identity: anna
      sha256: 1234567890
      roles: [reader, "writer"]
      expires: 2027-01-31T12:00:00Z
    - {identity: bob, sha256: "ab", roles: }
  jwt: {keys: /etc/mb/jwks.json}
permissions:
  roles:
    reader: {subscribe: {allow: ["a.#"], deny: ["a.secret"]}, system: ["*"]}
    "with.dot": {}
    nothing:
  identities: {"CN=x,O=y": [reader]}
  default: [reader]
rate.limit.role: {reader: 10, with.dot: 0}
`, nil)
	end := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	want := Tokens{
		{Identity: "anna", SHA256: "1234567890", Roles: []string{"reader", "writer"},
			Expires: &end},
		{Identity: "bob", SHA256: "ab"},
	}
	if !reflect.DeepEqual(c.Auth.Tokens, want) {
		t.Errorf("%+v", c.Auth.Tokens)
	}
	if c.Auth.JWT.Keys.Set != "/etc/mb/jwks.json" || c.Auth.Required != "true" {
		t.Errorf("%+v", c.Auth)
	}
	roles := Roles{
		"reader": {
			Subscribe: Lists{Allow: []string{"a.#"}, Deny: []string{"a.secret"}},
			System:    []string{"*"},
		},
		"with.dot": {},
	}
	if !reflect.DeepEqual(c.Permissions.Roles, roles) {
		t.Errorf("%+v", c.Permissions.Roles)
	}
	if !reflect.DeepEqual(c.RateLimit.Role, RoleRates{"reader": 10, "with.dot": 0}) {
		t.Errorf("%v", c.RateLimit.Role)
	}
	if !reflect.DeepEqual(c.Permissions.Identities, Identities{"CN=x,O=y": {"reader"}}) ||
		!reflect.DeepEqual(c.Permissions.Default, Names{"reader"}) {
		t.Errorf("%+v", c.Permissions)
	}
	back := mustLoad(t, string(c.YAML(nil)), nil)
	if !reflect.DeepEqual(c, back) {
		t.Errorf("read back as %+v, was %+v", back, c)
	}
}

// What is wrong within a list or map is said, with the line of its key and the way to the fault.
func TestTreeErrors(t *testing.T) {
	for _, tt := range [][2]string{
		{"auth: {tokens: {}}",
			"must be a list of tokens, and is a map"},
		{"auth: {tokens: [x]}",
			"item 1: must be a map of identity, sha256"},
		{"auth: {tokens: [{identity: a}]}",
			"item 1: sha256 is missing"},
		{"auth: {tokens: [{sha256: a}]}",
			"item 1: identity is missing"},
		{"auth: {tokens: [{identity: a, token: b}]}",
			"token: is unknown here: there are [identity"},
		{"auth: {tokens: [{identity: 7, sha256: a}]}",
			"identity: must be text, and is 7"},
		{"auth: {tokens: [{identity: a, identity: b}]}",
			"identity"},
		{"auth: {tokens: [{identity: a, sha256: [b]}]}",
			"sha256: must be text, and is a list"},
		{"auth: {tokens: [{identity: a, expires: soon}]}",
			`expires: "soon": must be a time as in 2027`},
		{"auth: {jwt: {keys: [{alg: RS256}]}}",
			"item 1: file is missing"},
		{"auth: {jwt: {keys: [{file: a}]}}",
			"item 1: alg is missing"},
		{"auth: {jwt: {keys: [{url: a}]}}",
			"url: is unknown here"},
		{"auth: {jwt: {keys: 7}}",
			"must be text, and is 7"},
		{"auth: {required: maybe}",
			"must be one of auto, true, false"},
		{"permissions: {roles: []}",
			"must be a map of roles, and is a list"},
		{"permissions: {roles: {r: [x]}}",
			"r: must be a map of publish"},
		{"permissions: {roles: {r: {write: {}}}}",
			"r: write: is unknown here"},
		{"permissions: {roles: {r: {publish: [a]}}}",
			"r: publish: must be a map of allow and deny"},
		{"permissions: {roles: {r: {publish: {allow: a}}}}",
			"r: publish: allow: must be a list of topic"},
		{"permissions: {roles: {r: {publish: {may: [a]}}}}",
			"may: is unknown here"},
		{"permissions: {default: r}",
			"must be a list of names"},
		{"permissions: {identities: {a: r}}",
			"a: must be a list of roles"},
		{"rate: {limit: {role: 7}}",
			"must be a map of roles to numbers, and is 7"},
		{"rate: {limit: {role: {r: many}}}",
			"r: text: must be a whole number"},
		{"rate: {limit: {role: {r: [1]}}}",
			"r: must be a whole number, and is a list"},
		{"rate: {limit: {role: {r: -1}}}",
			"r: -1: must be"},
		{"rate: {limit: {role: {r: 1, r: 2}}}",
			"r"},
		{"rate: {limit: {role: {r: 1}}}\npermissions: {roles: {s: {}}}",
			"is no role of permissions.roles"},
		{"permissions: {rolls: {}}",
			"permissions.rolls"},
	} {
		text, want := tt[0], tt[1]
		_, err := load(t, text+"\n", nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// Whether credentials are demanded follows from there being any, unless it is said.
func TestDemanded(t *testing.T) {
	for _, tt := range []struct {
		auth Auth
		want bool
	}{
		{Auth{Required: "auto"}, false},
		{Auth{Required: "true"}, true},
		{Auth{Required: "auto", Tokens: Tokens{{}}}, true},
		{Auth{Required: "false", Tokens: Tokens{{}}}, false},
		{Auth{Required: "auto", JWT: JWT{Keys: JWTKeys{Set: "x"}}}, true},
		{Auth{Required: "auto", JWT: JWT{Keys: JWTKeys{Files: []JWTKey{{}}}}}, true},
		{Auth{Required: "auto", Certificate: Certificate{CA: "x"}}, true},
	} {
		if got := tt.auth.Demanded(); got != tt.want {
			t.Errorf("%+v: %v", tt.auth, got)
		}
	}
}
