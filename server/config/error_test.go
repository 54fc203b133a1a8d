package config

import (
	"strings"
	"testing"
)

// What is refused is told without the password that stands in it: a line of the log has it, and
// goes to who may read that.
func TestNoPasswordOfAURLIsTold(t *testing.T) {
	for _, value := range []string{
		"nats://bob:hunter2@10.0.0.5:4222", "nats://bob:hunter2%zz@10.0.0.5:4222",
		"bob:hunter2@10.0.0.5:4222", "nats://bob:hunter2/@10.0.0.5:4222/x@y",
		"nats://10.0.0.4:4222,nats://bob:hunter2@10.0.0.5:4222", "nats://hunter2@10.0.0.5:4222",
	} {
		for _, file := range []string{
			`cluster.urls: ["` + value + `"]`, `cluster.urls: "` + value + `"`,
			`ws.origins: ["` + value + `"]`, `cluster.url: "` + value + `"`,
			`cluster.url: ["` + value + `"]`, `ports.ws: ` + value,
		} {
			_, err := load(t, file, nil)
			wantNoPassword(t, file, err)
		}
		_, err := load(t, "", nil, "--set", "cluster.urls="+value)
		wantNoPassword(t, "--set "+value, err)
		_, err = load(t, "", []string{"CLUSTER_URLS=" + value})
		wantNoPassword(t, "CLUSTER_URLS="+value, err)
		c := Default()
		c.Cluster.URLs = []string{value}
		wantNoPassword(t, value, c.Validate())
	}
}

func wantNoPassword(t *testing.T, where string, err error) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%s is taken", where)
	case strings.Contains(err.Error(), "hunter2"):
		t.Errorf("%s: it says %v", where, err)
	}
}
