package contexts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "contexts.json")
	f, err := Load(path)
	if err != nil || len(f.Names()) != 0 || f.Exposed() {
		t.Fatalf("%+v, %v", f, err)
	}
	secret := Context{Name: "b.2", Server: "tls://b", Token: "t", CA: "/ca", Insecure: true}
	for _, c := range []Context{secret, {Name: "a", Server: "tcp://a"}} {
		if err := f.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	f.Current = "b.2"
	if err := f.Save(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	again, err := Load(path)
	if err != nil || strings.Join(again.Names(), " ") != "a b.2" || again.Current != "b.2" {
		t.Fatalf("%+v, %v", again, err)
	}
	if got, ok := again.Find("b.2"); !ok || got != secret {
		t.Errorf("%+v", got)
	}
	if again.Exposed() {
		t.Error("a file of mode 0600 is not exposed")
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if !again.Exposed() {
		t.Error("a credential that the group may read is exposed")
	}
	if !again.Remove("b.2") || again.Remove("b.2") || again.Current != "" || again.Exposed() {
		t.Errorf("%+v", again)
	}
	if err := again.Save(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRefused(t *testing.T) {
	f := &File{}
	for _, name := range []string{"", "a b", "-a", "..", "a/b", strings.Repeat("a", 65), "ä"} {
		if err := f.Add(Context{Name: name}); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if err := f.Add(Context{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := f.Add(Context{Name: "a"}); err == nil {
		t.Error("a name was taken twice")
	}
	path := filepath.Join(t.TempDir(), "contexts.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken file: %v", err)
	}
}

func TestPath(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "/x")
	if path, err := Path(); err != nil || path != "/x/mb/contexts.json" {
		t.Errorf("%q, %v", path, err)
	}
}
