package server

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"mbserver/server/config"
)

// No path takes a parameter that it has not, one twice, or what cannot be read: what was meant
// would not be what is done. An action has none at all.
func TestAdminParameters(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		cfg.Admin.Operator = true
	})
	base := "http://" + n.Addr("admin")
	for _, path := range []string{
		"/connz?limit=1", "/servicez?limit=1", "/topicz?limit=1", "/loopz?limit=1",
		"/configz?limit=1", "/troublez?limit=1", "/eventz?id=x", "/clusterz?", "/history?since=1",
		"/stream/metrics?every=1s", "/stream/messages?topic=a", "/stream/logs?level=warn",
	} {
		_, given, _ := strings.Cut(path, "?")
		wrong := []string{path + "&limt=1", path + "&a=%zz", path + "&a;b"}
		if given != "" {
			wrong = append(wrong, path+"&"+given)
		}
		for _, asked := range wrong {
			if status, body, _ := adminCall(t, "GET", base+asked); status != 400 ||
				!strings.Contains(body, "INVALID_REQUEST") {
				t.Errorf("%s: %d %s", asked, status, body)
			}
		}
	}
	for _, path := range []string{"/drain", "/kick", "/mute", "/unsubscribe"} {
		req, err := http.NewRequest("POST", base+path+"?cancel=true",
			bytes.NewReader([]byte("{}")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if status, body, _ := adminDo(t, req); status != 400 || !strings.Contains(body, "cancel") {
			t.Errorf("%s: %d %s", path, status, body)
		}
		if !n.ready() {
			t.Fatalf("%s drains", path)
		}
	}
}
