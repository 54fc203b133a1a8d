package auth

import (
	"strings"
	"testing"
)

// A signed token has one spelling.
func TestTokenSpelling(t *testing.T) {
	keys := []KeyFile{{"", "HS256", publicFile(t, "HS256")}}
	v := verifierOf(t, Source{Signed: Signed{Keys: keys}})
	ok := sign(t, "HS256", good(), nil)
	if _, err := v.Token(ok, now); err != nil {
		t.Fatal(err)
	}
	for at := range ok {
		for _, more := range []string{"\n", "\r", "\r\n", "=", " "} {
			if _, err := v.Token(ok[:at]+more+ok[at:], now); err != ErrInvalid {
				t.Fatalf("with %q at %d it is %v", more, at, err)
			}
		}
	}
	for _, more := range []string{"\n", "=", "==", " "} {
		if _, err := v.Token(ok+more, now); err != ErrInvalid {
			t.Errorf("with %q at its end it is %v", more, err)
		}
	}
}

// No token, however long or odd, is accepted or brings the verifier down; and checking costs a
// bounded number of signatures.
func FuzzToken(f *testing.F) {
	v := verifierOf(f, Source{
		Tokens: []Token{{Identity: "a", SHA256: Hash("known")}},
		Signed: Signed{Keys: []KeyFile{{"", "HS256", publicFile(f, "HS256")},
			{"e", "ES256", publicFile(f, "ES256")}}},
	})
	ok := sign(f, "HS256", good(), nil)
	f.Add("known")
	f.Add(ok)
	f.Add(ok[:len(ok)-1])
	f.Add(ok[:len(ok)-20] + "\n" + ok[len(ok)-20:])
	f.Add("a.b.c")
	f.Add(sign(f, "ES256", good(), map[string]any{"kid": "e"}))
	head, _, _ := strings.Cut(ok, ".")
	f.Fuzz(func(t *testing.T, token string) {
		g, err := v.Token(token, now)
		if (g == nil) != (err != nil) || err != nil && err != ErrInvalid && err != ErrExpired {
			t.Fatalf("%v %v", g, err)
		}
		// Nobody can sign but who has a key.
		if g != nil && token != "known" && !strings.Contains(token, ".") {
			t.Fatalf("%q is %+v", token, g)
		}
		if g != nil && strings.HasPrefix(token, head+".") && token != ok {
			t.Fatalf("forged: %q", token)
		}
	})
}
