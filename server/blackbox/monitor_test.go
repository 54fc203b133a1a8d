package blackbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Prometheus' own tool finds nothing wrong with the recipes: the configuration, the rules in it,
// and of each rule that it tells a node that is just beyond its bound from one that is within.
func TestRecipe_Rules(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{
		{"check", "config", "prometheus.yml"},
		{"test", "rules", "mb-server.rules.test.yml"},
	} {
		cmd := exec.Command(debian(t, "promtool"), arguments...)
		cmd.Dir = filepath.Join("..", "..", "docs", "deploy")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", arguments, err, out)
		}
	}
}

// Prometheus' own tool finds nothing wrong with /metrics of a node that has served somebody.
func TestRecipe_Metrics(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	asks := n.dial(t, overWS)
	asks.send("request:system.heartbeat:1.0.0:"+idA, "")
	asks.expect("response:system.heartbeat:1.0.0:*")
	_, page := n.probe("/metrics")
	check := exec.Command(debian(t, "promtool"), "check", "metrics")
	check.Stdin = strings.NewReader(page)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 || page == "" {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// prometheus asks one for what it knows.
type prometheus struct{ address string }

// startPrometheus has it scrape a node with the recipes' configuration and rules, all times made
// short.
func startPrometheus(t *testing.T, n *node) prometheus {
	t.Helper()
	p := prometheus{freeAddress(t)}
	file := written(t, "prometheus.yml", recipe(t, "prometheus.yml", "15s", "200ms",
		"10.0.0.5:3002", n.admin, `, "10.0.0.6:3002", "10.0.0.7:3002"`, ""))
	rules := regexp.MustCompile(`for: \d+m`).ReplaceAllString(
		recipe(t, "mb-server.rules.yml"), "for: 0s")
	rules = regexp.MustCompile(`\[\d+m\]`).ReplaceAllString(rules, "[2s]")
	dir := filepath.Dir(file)
	err := os.WriteFile(filepath.Join(dir, "mb-server.rules.yml"), []byte(rules), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	startProgram(t, "prometheus", []string{p.address}, "--config.file="+file,
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+p.address,
		"--log.level=warn")
	return p
}

// ask fetches a page of its interface; a page that is not there yet is empty.
func (p prometheus) ask(t *testing.T, path string, data any) {
	t.Helper()
	resp, err := http.Get("http://" + p.address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	if resp.StatusCode == http.StatusServiceUnavailable {
		return // it still starts
	}
	if err != nil || answer.Status != "success" {
		t.Fatalf("%s: %v %s", path, err, answer.Error)
	}
}

// firing are the names of the alerts that fire.
func (p prometheus) firing(t *testing.T) (names []string) {
	t.Helper()
	var data struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	p.ask(t, "/api/v1/alerts", &data)
	for _, a := range data.Alerts {
		if a.State == "firing" {
			names = append(names, a.Labels["alertname"])
		}
	}
	return names
}

// count says how many series an expression has.
func (p prometheus) count(t *testing.T, expr string) int {
	t.Helper()
	var data struct{ Result []any }
	p.ask(t, "/api/v1/query?query="+url.QueryEscape(expr), &data)
	return len(data.Result)
}

// A real Prometheus scrapes a node, an alert fires when there is a reason for it, and no other; and
// every graph of the dashboard has something to show.
func TestRecipe_Prometheus(t *testing.T) {
	t.Parallel()
	bus := startNATS(t)
	n := startMember(t, bus, "a", "connection.max.concurrent=20")
	startMember(t, bus, "b")
	n.awaitPeers(1)
	p := startPrometheus(t, n)
	eventually(t, "the node is scraped", func() bool {
		return p.count(t, `rate(mb_turn_seconds_count{job="mb-server"}[1s])`) == 1
	})
	eventually(t, "nothing fires", func() bool { return len(p.firing(t)) == 0 })
	showsAll(t, p)
	for range 19 {
		n.dial(t, overTCP)
	}
	eventually(t, "MBConnectionsNearLimit fires", func() bool {
		return strings.Join(p.firing(t), " ") == "MBConnectionsNearLimit"
	})
	n.dial(t, overTCP)
	eventually(t, "MBConnectionsRefused fires", func() bool {
		if c, err := n.connect(overTCP); err == nil {
			_ = c.Close()
		}
		return strings.Contains(strings.Join(p.firing(t), " "), "MBConnectionsRefused")
	})
	n.kill()
	eventually(t, "MBNodeDown fires", func() bool {
		return strings.Contains(strings.Join(p.firing(t), " "), "MBNodeDown")
	})
}

// showsAll asks for all that the dashboard asks for.
func showsAll(t *testing.T, p prometheus) {
	t.Helper()
	var board struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(recipe(t, "grafana.json")), &board); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$job", "mb-server", "$instance", ".*",
		"$__rate_interval", "2s")
	asked := 0
	for _, panel := range board.Panels {
		if panel.Type != "row" && len(panel.Targets) == 0 {
			t.Errorf("%s asks for nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			asked++
			eventually(t, panel.Title+" shows something: "+target.Expr, func() bool {
				return p.count(t, variables.Replace(target.Expr)) > 0
			})
		}
	}
	if asked < 50 {
		t.Errorf("the dashboard asks for %d things", asked)
	}
}
