package server

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"mbserver/server/config"
)

// operators has a node know some identities; each has a token of its own name and the role of it.
func operators(cfg *config.Config) {
	cfg.Auth.Tokens = nil
	cfg.Permissions.Roles = config.Roles{}
	for identity, words := range map[string][]string{
		"viewer":   {"connection", "metrics", "service.list", "topic.list"},
		"operator": {"connection", "metrics", "service.list", "topic.list", "admin"},
		"nobody":   {},
	} {
		cfg.Auth.Tokens = append(cfg.Auth.Tokens, tokenOf(identity, identity))
		cfg.Permissions.Roles[identity] = config.Role{System: words}
	}
}

// tokenOf is the token that is spelled as the identity.
func tokenOf(identity string, roles ...string) config.Token {
	sum := sha256.Sum256([]byte(identity))
	return config.Token{Identity: identity, SHA256: hex.EncodeToString(sum[:]), Roles: roles}
}

// adminCase is a request to the admin listener, and what is answered.
type adminCase struct {
	name             string
	token            string
	host, page, kind string // headers; "" : as a client has them, none, application/json
	status           int
	says             string // stands in the body
}

// askAs posts an empty wish to cancel a drain that there is not: 409 is who may.
func (n *liveNode) askAs(c *adminCase) (int, string, http.Header) {
	n.t.Helper()
	address := n.Addr("admin")
	if strings.HasPrefix(address, "[::]") || strings.HasPrefix(address, "0.0.0.0") {
		address = "127.0.0.1" + address[strings.LastIndexByte(address, ':'):]
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+address+"/drain",
		strings.NewReader(`{"cancel":true}`))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.kind != "" {
		req.Header.Set("Content-Type", c.kind)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.page != "" {
		req.Header.Set("Origin", c.page)
	}
	if c.host != "" {
		req.Host = c.host
	}
	return adminDo(n.t, req)
}

func (n *liveNode) askAll(cases []adminCase) {
	n.t.Helper()
	for _, c := range cases {
		status, body, _ := n.askAs(&c)
		if status != c.status || !strings.Contains(body, c.says) {
			n.t.Errorf("%s: %d %s, want %d %s", c.name, status, body, c.status, c.says)
		}
	}
}

// Where the node asks who somebody is, so does what changes it: roles say who may, no web page of
// another site gets there, and no name that is not the node's.
func TestAdminAsks(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		operators(cfg)
		cfg.Admin.Operator = true // which says nothing about who has to give credentials
		cfg.Admin.Hosts = []string{"node.example"}
		cfg.Auth.LockoutThreshold = 3
	})
	own := "http://" + n.Addr("admin")
	n.askAll([]adminCase{
		{name: "nobody", status: 401, says: `"reason":"required"`},
		{name: "viewer", token: "viewer", status: 403, says: `"needs":"admin"`},
		{name: "no words", token: "nobody", status: 403, says: "FORBIDDEN"},
		{name: "operator", token: "operator", status: 409},
		{name: "own page", token: "operator", page: own, status: 409},
		{name: "own name", token: "operator", host: "Node.Example:80", status: 409,
			page: "https://node.example:80"},
		{name: "page of another site", token: "operator", page: "https://evil.example",
			status: 403, says: `"reason":"origin"`},
		{name: "page of another port", token: "operator", page: "http://127.0.0.1:1",
			status: 403, says: `"reason":"origin"`},
		{name: "hidden page", token: "operator", page: "null", status: 403, says: "origin"},
		{name: "form", token: "operator", kind: "application/x-www-form-urlencoded", status: 415},
		{name: "form with a file", token: "operator", kind: "multipart/form-data; boundary=x",
			status: 415},
		{name: "form of text", token: "operator", kind: "text/plain", status: 415},
		{name: "rebound", token: "operator", host: "evil.example", status: 403},
		{name: "rebound page", token: "operator", host: "evil.example",
			page: "http://evil.example", status: 403},
		{name: "wrong", token: "wrong", status: 401, says: `"reason":"invalid"`},
		{name: "too long", token: strings.Repeat("x", 5000), status: 401, says: "invalid"},
		{name: "wrong again", token: "wrong", status: 401, says: "invalid"},
		{name: "once more", token: "wrong", status: 429, says: `"reason":"locked_out"`},
		{name: "a good one all the same", token: "operator", status: 409},
	})
	_, _, header := n.askAs(&adminCase{token: "wrong"})
	if header.Get("Retry-After") == "" || header.Get("WWW-Authenticate") != "Bearer" ||
		!strings.HasPrefix(header.Get("Content-Type"), "application/json") {
		t.Errorf("locked out, and told %v", header)
	}
}

// The token may stand in the address, where no header can be set; what is logged of it is nothing.
func TestAdminTokenInAddress(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) { withAdmin(cfg); operators(cfg) })
	req, err := http.NewRequest(http.MethodPost,
		"http://"+n.Addr("admin")+"/drain?access_token=operator", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	status, body, header := adminDo(t, req)
	if status != http.StatusAccepted || header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%d %s %v", status, body, header)
	}
	eventually(t, "a line says who has done it", func() (found bool) {
		for line := range strings.Lines(n.out.String()) {
			var l struct{ Module, Msg, Identity, Remote string }
			_ = json.Unmarshal([]byte(line), &l)
			found = found || l.Module == "admin" && l.Identity == "operator" && l.Remote != "" &&
				l.Msg == "a drain was asked for: operator"
		}
		return found
	})
	if strings.Contains(n.out.String(), "access_token") {
		t.Errorf("the log says:\n%s", n.out.String())
	}
	if err := n.shutdown(livePatience); err != nil {
		t.Error(err)
	}
}

// Who gives no credentials looks, on loopback; with admin.operator it may do all, from anywhere,
// and by no foreign name.
func TestAdminWithoutCredentials(t *testing.T) {
	for _, tt := range []struct {
		address  string
		operator bool
		cases    []adminCase
	}{
		{"127.0.0.1:0", false, []adminCase{{name: "a", status: 403, says: "admin.operator"}}},
		{"0.0.0.0:0", false, []adminCase{{name: "a", status: 403, says: "loopback"}}},
		{"127.0.0.1:0", true, []adminCase{
			{name: "a", status: 409},
			{name: "rebound", host: "evil.example", status: 403, says: "admin.hosts"},
		}},
		{"0.0.0.0:0", true, []adminCase{
			{name: "a", status: 409},
			{name: "rebound", host: "evil.example", status: 403, says: `"reason":"host"`},
			{name: "another address", host: "192.0.2.1", status: 403, says: `"reason":"host"`},
			{name: "a name", host: "node.example", status: 409},
		}},
	} {
		n := startLiveNode(t, func(cfg *config.Config) {
			cfg.Admin.Address, cfg.Admin.Operator = tt.address, tt.operator
			cfg.Admin.Hosts = []string{"node.example"}
		})
		n.askAll(tt.cases)
	}
}

// Who gives no credentials where they are not required is anonymous, and may what that may.
func TestAdminAnonymous(t *testing.T) {
	for _, tt := range []struct {
		words  []string
		status int
	}{{[]string{"metrics"}, 403}, {[]string{"admin"}, 409}} {
		n := startLiveNode(t, func(cfg *config.Config) {
			withAdmin(cfg)
			operators(cfg)
			cfg.Auth.Required = config.RequiredFalse
			cfg.Permissions.Roles["visitor"] = config.Role{System: tt.words}
			cfg.Permissions.Anonymous = config.Names{"visitor"}
		})
		n.askAll([]adminCase{{name: tt.words[0], status: tt.status}})
	}
}

// A reload that takes a token or a role away does so at once, and another brings it back.
func TestAdminReload(t *testing.T) {
	setup := func(cfg *config.Config) { withAdmin(cfg); operators(cfg) }
	n := startLiveNode(t, setup)
	reload := func(change func(*config.Config)) {
		t.Helper()
		err := n.Reload(func() (config.Config, config.Origins, error) {
			cfg := liveConfig()
			setup(&cfg)
			change(&cfg)
			return cfg, nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	asks := adminCase{name: "operator", token: "operator", status: 409}
	n.askAll([]adminCase{asks})
	reload(func(cfg *config.Config) {
		cfg.Permissions.Roles["operator"] = config.Role{System: []string{"metrics"}}
	})
	asks.status = 403
	n.askAll([]adminCase{asks})
	reload(func(*config.Config) {})
	asks.status = 409
	n.askAll([]adminCase{asks})
	reload(func(cfg *config.Config) {
		for i := range cfg.Auth.Tokens {
			if cfg.Auth.Tokens[i].Identity == "operator" {
				cfg.Auth.Tokens[i].SHA256 = strings.Repeat("00", 32)
			}
		}
	})
	asks.status = 401
	n.askAll([]adminCase{asks})
}
