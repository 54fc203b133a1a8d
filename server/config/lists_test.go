package config

import (
	"net/netip"
	"reflect"
	"testing"
)

// A list means the same however it is written, and a stronger source's takes the whole place.
func TestLists(t *testing.T) {
	want := Default()
	want.WS.Origins = []string{"https://app.example", "http://[::1]:5173", "null", "*"}
	want.WS.Hosts = []string{"mb.example", "::1", "10.0.0.7"}
	want.Proxy.Trusted = []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"),
		netip.MustParsePrefix("2001:db8::/32"),
	}
	want.Proxy.Protocol = ProxyProtocol{
		WS: "off", WSS: "required", TCP: "optional", TLS: "required",
	}
	const (
		origins = "HTTPS://App.Example:443, http://[::1]:5173 ,null,*,https://app.example"
		hosts   = "MB.example.,::1,10.0.0.7,[::1]"
		trusted = "10.1.2.3/8, 192.0.2.1, 2001:db8::/32"
		words   = `{"ws":"OFF","tcp":"optional"}`
	)
	file := mustLoad(t, `
ws:
  origins: ["https://app.example", "http://[::1]:5173", "null", "*"]
  hosts: [MB.example, "::1", 10.0.0.7]
proxy:
  trusted: [10.0.0.0/8, 192.0.2.1, "2001:db8::/32"]
  protocol: {ws: off, tcp: optional}
`, nil)
	flags := mustLoad(t, "ws.origins: [https://other.example]\nproxy.protocol: off\n", nil,
		"--set", "ws.origins="+origins, "--set", "ws.hosts="+hosts,
		"--set", "proxy.trusted="+trusted, "--set", "proxy.protocol="+words)
	env := mustLoad(t, "", []string{
		"WS_ORIGINS=" + origins, "WS_HOSTS=" + hosts, "PROXY_TRUSTED=" + trusted,
		"PROXY_PROTOCOL=" + words,
	})
	text := mustLoad(t, "ws.origins: '"+origins+"'\nws.hosts: '"+hosts+"'\nproxy.trusted: '"+
		trusted+"'\nproxy.protocol: '"+words+"'\n", nil)
	printed := mustLoad(t, string(want.YAML(nil)), nil)
	for name, got := range map[string]Config{
		"file": file, "flags": flags, "environment": env, "text": text, "printed": printed,
	} {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %+v", name, got.WS, got.Proxy)
		}
	}
	c := mustLoad(t, "ws.origins: [https://a.example]\nproxy.protocol: off\n", nil,
		"--set", "ws.origins=", "--set", "proxy.protocol=required")
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("emptied: %+v %+v", c.WS, c.Proxy)
	}
	if c := mustLoad(t, "ws.hosts: one.example\n", []string{"WS_HOSTS="}); len(c.WS.Hosts) != 1 {
		t.Errorf("one element alone: %+v", c.WS)
	}
}

// What a program sets itself is held to the same forms.
func TestListsOfAProgram(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"origin":  func(c *Config) { c.WS.Origins = []string{"https://App.example"} },
		"twice":   func(c *Config) { c.WS.Hosts = []string{"a", "a"} },
		"network": func(c *Config) { c.Proxy.Trusted = []netip.Prefix{{}} },
		"unmasked": func(c *Config) {
			c.Proxy.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")}
		},
		"no word": func(c *Config) { c.Proxy.Protocol.TLS = "" },
	} {
		c := Default()
		change(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
