package terminal

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/creack/pty"
	"pgregory.net/rapid"
)

func TestIs(t *testing.T) {
	_, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tty.Close() }()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if !Is(tty) || Is(r) || Is(w) || Is(strings.NewReader("")) || Is(nil) {
		t.Errorf("terminal %v, pipe %v and %v", Is(tty), Is(r), Is(w))
	}
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 9, Cols: 77}); err != nil {
		t.Fatal(err)
	}
	if Columns(tty) != 77 || Columns(w) != 0 || Columns(nil) != 0 {
		t.Errorf("%d columns, %d of a pipe", Columns(tty), Columns(w))
	}
	_, _ = r.Close(), w.Close()
	if Is(r) {
		t.Error("a closed file is no terminal")
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain ☀ äöü 👩\u200d💻\n\ttabbed": "plain ☀ äöü 👩\u200d💻\n\ttabbed",
		"\x1b[2J\x1b]0;title\x07":        `\u001b[2J\u001b]0;title\u0007`,
		"\u009b31m":                      `\u009b31m`,
		"a\rb\x7f\x00":                   `a\rb\u007f\u0000`,
		"\u202egnp.exe":                  `\u202egnp.exe`,
		"\xff\xc3":                       `\xff\xc3`,
		"\ufffd":                         "\ufffd",
	} {
		if got := string(AppendText([]byte(">"), []byte(in))); got != ">"+want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got, want := Line("a\tb\nc\x1b"), `a\tb\nc\u001b`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Whatever comes in, nothing that acts goes out, and JSON means what it meant.
func TestTextIsHarmless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOf(rapid.Byte()).Draw(t, "in")
		out := AppendText(nil, in)
		for _, r := range string(out) {
			if unicode.IsControl(r) && r != '\n' && r != '\t' {
				t.Fatalf("%q is in %q", r, out)
			}
		}
		if !utf8.Valid(out) {
			t.Fatalf("%q is not UTF-8", out)
		}
		text := rapid.String().Draw(t, "text")
		object, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal(AppendText(nil, object), &back); err != nil || back != text {
			t.Fatalf("%q became %q: %v", text, back, err)
		}
	})
}

// What is nothing has a place in a table too, and what is not to be seen does not look like it.
func TestCell(t *testing.T) {
	for in, want := range map[string]string{
		"": "-", "billing": "billing", "billing\x00": `billing\u0000`, "a\tb": `a\tb`,
		"👩\u200d💻": "👩\u200d💻",
	} {
		if got := Cell(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
