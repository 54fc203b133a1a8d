package server

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"mbserver/server/config"
)

// family is what a page of /metrics says of a name.
type family struct{ kind, help string }

// families reads a page: each family begins with HELP and TYPE and has at least one number, and
// every number belongs to the family before it.
func families(t *testing.T, page string) map[string]family {
	t.Helper()
	all := map[string]family{}
	name, numbers := "", 0
	end := func() {
		if name != "" && numbers == 0 {
			t.Errorf("%s has no numbers", name)
		}
		numbers = 0
	}
	var f family
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		word := strings.SplitN(line, " ", 4)
		switch {
		case word[0] != "#":
			sample, _, _ := strings.Cut(word[0], "{")
			rest, belongs := strings.CutPrefix(sample, name)
			parts := []string{""}
			switch f.kind {
			case "histogram":
				parts = []string{"_bucket", "_sum", "_count"}
			case "summary":
				parts = []string{"", "_sum", "_count"}
			}
			if numbers++; name == "" || !belongs || !slices.Contains(parts, rest) {
				t.Errorf("%q stands under %s", line, name)
			}
		case word[1] == "HELP":
			end()
			name, f = word[2], family{help: word[3]}
			if _, twice := all[name]; twice || f.help == "" {
				t.Errorf("%s is there twice, or means nothing", name)
			}
		case word[1] == "TYPE" && word[2] == name:
			f.kind = word[3]
			all[name] = f
		default:
			t.Errorf("odd line %q", line)
		}
	}
	end()
	return all
}

// documented reads the tables of docs/metrics.md.
func documented(t *testing.T) map[string]family {
	t.Helper()
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]family{}
	row := regexp.MustCompile("(?m)^\\| (?:.*\\| )?`([a-z_]+)`(?: with labels? [^|]*)? " +
		"\\| (counter|gauge|summary|histogram) \\| (.*) \\|$")
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		if _, twice := all[m[1]]; twice {
			t.Errorf("docs/metrics.md has %s twice", m[1])
		}
		all[m[1]] = family{kind: m[2], help: strings.ReplaceAll(m[3], "`", "")}
	}
	return all
}

// The page passes Prometheus' own checks (those of promtool check metrics), and says what
// docs/metrics.md says: every family, its type and what it means, and no other.
func TestMetricsPage(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	c := n.dial()
	c.subscribe("publish", "page.test")
	_, page, _ := adminCall(t, "GET", "http://"+n.Addr("admin")+"/metrics")
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	got, want := families(t, page), documented(t)
	for name, is := range got {
		if is != want[name] {
			t.Errorf("%s is %+v, docs/metrics.md says %+v", name, is, want[name])
		}
	}
	for name := range want {
		if _, there := got[name]; !there {
			t.Errorf("docs/metrics.md tells of %s, which is not there", name)
		}
	}
	if len(want) < 80 {
		t.Errorf("docs/metrics.md has %d", len(want))
	}
}

// What is at / names what there is, and each of it answers; to a browser it is the console.
func TestAdminIndex(t *testing.T) {
	for _, profiles := range []bool{false, true} {
		n := startLiveNode(t, func(cfg *config.Config) {
			withAdmin(cfg)
			cfg.Admin.Pprof = profiles
		})
		base := "http://" + n.Addr("admin")
		_, text, _ := adminCall(t, "GET", base+"/")
		req, err := http.NewRequest("GET", base+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html,application/xhtml+xml")
		_, page, header := adminDo(t, req)
		if !strings.HasPrefix(header.Get("Content-Type"), "text/html") ||
			!strings.Contains(page, `src="console/app.js"`) {
			t.Errorf("content type %q of\n%s", header.Get("Content-Type"), page)
		}
		if !strings.Contains(text, n.broker.ID().String()) || !strings.Contains(text, "test") {
			t.Errorf("it does not say who it is: %s", text)
		}
		for path, want := range map[string]bool{
			"livez": true, "readyz": true, "metrics": true, "whoamiz": true,
			"debug/pprof/": profiles,
		} {
			status, _, _ := adminCall(t, "GET", base+"/"+path)
			if strings.Contains(text, "\n/"+path+" ") != want || (status == 200) != want {
				t.Errorf("%s: %d in\n%s", path, status, text)
			}
		}
	}
}

// With admin.pprof there are profiles, but not the command line, which may hold what is secret.
func TestAdminProfiles(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		cfg.Admin.Pprof = true
	})
	base := "http://" + n.Addr("admin") + "/debug/pprof/"
	for path, want := range map[string]int{
		"": 200, "heap": 200, "goroutine?debug=2": 200, "symbol": 200, "allocs": 200,
		"trace?seconds=0.01": 200, "cmdline": 404, "nothing": 404,
	} {
		status, body, _ := adminCall(t, "GET", base+path)
		if status != want || body == "" {
			t.Errorf("%s: %d, %d bytes", path, status, len(body))
		}
	}
	if !strings.Contains(n.out.String(), "admin.pprof") {
		t.Error("the log does not say that profiles are served")
	}
}
