package config

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// What the file says in vain is told with its line; what agrees, what nobody else says, and secrets
// are not.
func TestInVain(t *testing.T) {
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
	said := func(environ []string) map[string]Origin {
		t.Helper()
		_, origins, err := Load(nil, environ)
		if err != nil {
			t.Fatal(err)
		}
		maps.DeleteFunc(origins, func(_ string, of Origin) bool { return of.Line == "" })
		return origins
	}
	is := said(environ)
	want := map[string]Origin{
		"ports.tcp":     {"environment TCP_PORT", "3001", "file " + path + ", line 1"},
		"logging.level": {"environment LOG_LEVEL", `"info"`, "file " + path + ", line 2"},
	}
	if len(is) != len(want) {
		t.Errorf("told are %v", is)
	}
	for key, of := range want {
		if is[key] != of {
			t.Errorf("%s: %v, want %v", key, is[key], of)
		}
	}
	write("ports: [\n")
	if _, origins, err := Load(nil, environ); err == nil || origins != nil {
		t.Errorf("of a file that is none: %v, %v", origins, err)
	}
	if is := said(environ[1:]); len(is) != 0 {
		t.Errorf("without a file: %v", is)
	}
}
