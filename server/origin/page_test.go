package origin

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestHost(t *testing.T) {
	for _, tt := range []struct{ authority, want string }{
		{"example.com", "example.com"}, {"EXAMPLE.com:3000", "example.com"},
		{"example.com.", "example.com"}, {"example.com.:1", "example.com"},
		{"example.com:", "example.com"}, {"localhost:65535", "localhost"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"}, {"my_host", "my_host"},
		{"127.0.0.1:3000", "127.0.0.1"}, {"[::1]:3000", "::1"}, {"[::1]", "::1"},
		{"[0:0:0:0:0:0:0:1]", "::1"}, {"[::FFFF:127.0.0.1]", "127.0.0.1"},
		{"[2001:DB8::A]:", "2001:db8::a"},

		{"", ""}, {":3000", ""}, {".", ""}, {"::1", ""}, {"a:b", ""}, {"a:1:2", ""},
		{"a:65536", ""}, {"a:-1", ""}, {"a:+1", ""}, {"a b", ""}, {"a@b", ""}, {"a/b", ""},
		{"[::1", ""}, {"[::1]x", ""}, {"[::1]:x", ""}, {"[127.0.0.1]", ""},
		{"[fe80::1%25eth0]", ""}, {"a..", ""}, {"a..b", ""}, {".a", ""}, {".localhost", ""},
		{"[]", ""}, {"a,b", ""}, {"é", ""}, {"a\x00", ""}, {strings.Repeat("a", 256), ""},
	} {
		got, ok := Host(tt.authority)
		if ok != (tt.want != "") || ok && got != tt.want {
			t.Errorf("%q: %q %v, want %q", tt.authority, got, ok, tt.want)
		}
	}
}

func TestLoopback(t *testing.T) {
	for name, want := range map[string]bool{
		"localhost": true, "app.localhost": true, "127.0.0.1": true, "127.8.9.1": true, "::1": true,
		"notlocalhost": false, "localhost.example": false, "0.0.0.0": false, "::": false,
		"127.0.0.1.example": false, "127.1": false, "2130706433": false, "": false,
		"192.168.0.1": false,
	} {
		if got := Loopback(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestPage(t *testing.T) {
	for _, tt := range []struct{ origin, page, host string }{
		{"https://app.example", "https://app.example", "app.example"},
		{"HTTPS://App.Example:443", "https://app.example", "app.example"},
		{"http://app.example:80", "http://app.example", "app.example"},
		{"http://app.example:443", "http://app.example:443", "app.example"},
		{"http://[::1]:8080", "http://[::1]:8080", "::1"},
		{"chrome-extension://abcdef", "chrome-extension://abcdef", "abcdef"},
		{"file://", "file://", ""},

		{"", "", ""}, {"null", "", ""}, {"*", "", ""}, {"app.example", "", ""},
		{"https://app.example/", "", ""}, {"https://a@b", "", ""}, {"https://a b", "", ""},
		{"https://a https://b", "", ""}, {"https://a,https://b", "", ""}, {"://a", "", ""},
		{"1http://a", "", ""}, {"https://:80", "", ""}, {"https://a#", "", ""},
		{"https://*.example", "", ""},
	} {
		page, host, ok := Page(tt.origin)
		if ok != (tt.page != "") || page != tt.page || host != tt.host {
			t.Errorf("%q: %q %q %v", tt.origin, page, host, ok)
		}
	}
}

// Who may come from where (protocol §10), on a listener that others reach and on one of loopback.
func TestRules(t *testing.T) {
	none := NewRules(nil, nil)
	listed := NewRules([]string{"https://app.example", "http://localhost:5173"},
		[]string{"mb.example", "10.0.0.7"})
	null := NewRules([]string{Null}, nil)
	everyone := NewRules([]string{Any}, nil)
	for _, tt := range []struct {
		name         string
		rules        *Rules
		origin, host string
		open, local  string // the answer there
	}{
		{"no browser", none, "", "localhost:3000", "", ""},
		{"no browser, by another name", none, "", "mb.example", "", BadHost},
		{"no browser, by its listed name", listed, "", "mb.example:80", "", ""},
		{"no browser, no name", none, "", "a b", "", BadHost},
		{"its own page", none, "http://mb.example", "mb.example:3000", "", BadHost},
		{"its own page, other case", none, "https://MB.example:8443", "mb.EXAMPLE.", "", BadHost},
		{"its own page, by its listed name", listed, "https://mb.example", "mb.example", "", ""},
		{"another page", none, "https://evil.example", "mb.example", BadOrigin, BadHost},
		{"another page of this machine", none, "http://localhost:8080", "127.0.0.1:3000",
			BadOrigin, ""},
		{"another page of this machine, IPv6", none, "http://[::1]:8080", "localhost:3000",
			BadOrigin, ""},
		{"a page at a name of localhost", none, "http://app.localhost", "localhost", BadOrigin, ""},
		{"a foreign page, to this machine", none, "https://evil.example", "localhost:3000",
			BadOrigin, BadOrigin},
		{"a rebound name", none, "http://evil.example:3000", "evil.example:3000", "", BadHost},
		{"a rebound name, no origin", none, "", "evil.example:3000", "", BadHost},
		{"a rebound name, null", none, Null, "evil.example:3000", BadOrigin, BadHost},
		{"a rebound address of everybody", none, "http://0.0.0.0:3000", "0.0.0.0:3000",
			"", BadHost},
		{"a suffix", none, "https://evil-mb.example", "mb.example", BadOrigin, BadHost},
		{"a subdomain", none, "https://a.mb.example", "mb.example", BadOrigin, BadHost},
		{"localhost as a label", none, "http://localhost.evil.example", "localhost",
			BadOrigin, BadOrigin},
		{"null", none, Null, "localhost", BadOrigin, BadOrigin},
		{"null listed", null, Null, "localhost", "", ""},
		{"null is no other", null, "https://evil.example", "localhost", BadOrigin, BadOrigin},
		{"listed", listed, "https://app.example", "mb.example", "", ""},
		{"listed, with its port", listed, "https://app.example:443", "mb.example", "", ""},
		{"listed, other scheme", listed, "http://app.example", "mb.example", BadOrigin, BadOrigin},
		{"listed, other port", listed, "https://app.example:8443", "mb.example",
			BadOrigin, BadOrigin},
		{"listed, but to a rebound name", listed, "https://app.example", "evil.example",
			"", BadHost},
		{"a page at a listed host", listed, "http://10.0.0.7", "localhost", BadOrigin, ""},
		{"anybody", everyone, "https://evil.example", "mb.example", "", BadHost},
		{"anybody, to this machine", everyone, "https://evil.example", "localhost", "", ""},
		{"anybody, null", everyone, Null, "localhost", "", ""},
		{"anybody, garbage", everyone, "\xff", "localhost", "", ""},
		{"garbage", none, "mb.example", "mb.example", BadOrigin, BadHost},
		{"two origins", none, "http://localhost http://localhost", "localhost",
			BadOrigin, BadOrigin},
		{"user before the host", none, "http://localhost@evil.example", "localhost",
			BadOrigin, BadOrigin},
		{"a file", none, "file://", "localhost", BadOrigin, BadOrigin},
	} {
		if got := tt.rules.Check(tt.origin, tt.host, false); got != tt.open {
			t.Errorf("%s, open: %q, want %q", tt.name, got, tt.open)
		}
		if got := tt.rules.Check(tt.origin, tt.host, true); got != tt.local {
			t.Errorf("%s, loopback: %q, want %q", tt.name, got, tt.local)
		}
	}
}

// Whatever a browser sends: what enters is of the node's own name or, on loopback, of this machine,
// as another reader of URLs sees it too.
func FuzzOrigin(f *testing.F) {
	f.Add("https://app.example:8443", "app.example", true)
	f.Add("http://localhost@evil.example", "localhost:3000", true)
	f.Add("http://[::1%25lo]", "[::1]", false)
	f.Add("null", "127.0.0.1", true)
	f.Add("http://a:80:80", "a", false)
	rules := NewRules(nil, nil)
	f.Fuzz(func(t *testing.T, origin, host string, loopback bool) {
		if page, name, ok := Page(origin); ok {
			again, same, ok := Page(page)
			if !ok || again != page || same != name {
				t.Fatalf("%q is %q, which is %q", origin, page, again)
			}
		}
		if rules.Check(origin, host, loopback) != "" {
			return
		}
		name, ok := Host(host)
		if loopback && (!ok || !Loopback(name)) {
			t.Fatalf("called %q on loopback", host)
		}
		if origin == "" {
			return
		}
		u, err := url.Parse(origin)
		if err != nil || u.User != nil || u.Path+u.RawQuery+u.Fragment != "" {
			t.Fatalf("%q enters, and is no origin: %v", origin, err)
		}
		from := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
		if a, err := netip.ParseAddr(from); err == nil {
			from = a.Unmap().String()
		}
		if loopback && !Loopback(from) || !loopback && from != name {
			t.Fatalf("a page of %q enters at %q", origin, host)
		}
	})
}
