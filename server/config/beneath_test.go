package config

import (
	"os"
	"path/filepath"
	"testing"
)

// What the file says in vain is told with its line; what agrees, what nobody else says, and secrets
// are not.
func TestBeneath(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mb.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	environ := []string{
		EnvConfigPath + "=" + path, "WS_PORT=3000", "TCP_PORT=4001", "LOG_LEVEL=warn",
	}
	write("ports: {ws: 3000, tcp: 3001}\nlogging.level: info\nmax.queued.perTopic: 7\n")
	said := Beneath(nil, environ)
	want := map[string]Said{
		"ports.tcp":     {"3001", "file " + path + ", line 1"},
		"logging.level": {`"info"`, "file " + path + ", line 2"},
	}
	if len(said) != len(want) {
		t.Errorf("told are %v", said)
	}
	for key, is := range want {
		if said[key] != is {
			t.Errorf("%s: %v, want %v", key, said[key], is)
		}
	}
	write("ports: [\n")
	if said := Beneath(nil, environ); said != nil {
		t.Errorf("of a file that is none: %v", said)
	}
	if said := Beneath(nil, environ[1:]); said != nil {
		t.Errorf("without a file: %v", said)
	}
}
