package server

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mbserver/server/config"
	"mbserver/server/event"
	"mbserver/server/trouble"
)

// deployFile is a file of docs/deploy.
func deployFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// allOf are the different first groups of what expr finds, sorted.
func allOf(expr, text string) (all []string) {
	for _, m := range regexp.MustCompile(expr).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Alert rules and dashboard ask for metrics that there are, with labels that these have.
func TestDeployMetrics(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	_, page, _ := adminCall(t, "GET", "http://"+n.Addr("admin")+"/metrics")
	for file, least := range map[string]int{
		"mb-server.rules.yml": 25, "mb-server.rules.test.yml": 25, "grafana.json": 50,
	} {
		text := deployFile(t, file)
		names := allOf(`\b((?:mb|process|go)_[a-z0-9_]+)\b`, text)
		if len(names) < least {
			t.Errorf("%s has only %d metrics", file, len(names))
		}
		for _, name := range names {
			if clusterMetric(name) {
				continue // of a node in a cluster (server/blackbox, TestS12_Metrics)
			}
			if !regexp.MustCompile(`(?m)^` + name + `[ {]`).MatchString(page) {
				t.Errorf("%s: /metrics has no %s", file, name)
			}
		}
		for _, m := range regexp.MustCompile(`(\w+)\{reason[!=]~?"([a-z_|]+)"`).
			FindAllStringSubmatch(text, -1) {
			for reason := range strings.SplitSeq(m[2], "|") {
				if !strings.Contains(page, m[1]+`{reason="`+reason+`"}`) {
					t.Errorf("%s: %s has no reason %s", file, m[1], reason)
				}
			}
		}
	}
}

// Every alert has its row in the runbook, and is tried; what the runbook and the dashboard name
// besides is there, too.
func TestRunbookHasEveryAlert(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	const name = `\b(MB[A-Z]\w+)\b`
	alerts := allOf(`- alert: (\w+)`, deployFile(t, "mb-server.rules.yml"))
	if len(alerts) < 20 {
		t.Fatalf("there are %d alerts", len(alerts))
	}
	tried := allOf(name, deployFile(t, "mb-server.rules.test.yml"))
	if !slices.Equal(tried, alerts) {
		t.Errorf("tried are %q, there are %q", tried, alerts)
	}
	for _, alert := range allOf(name, deployFile(t, "grafana.json")+deployFile(t, "README.md")) {
		if !slices.Contains(alerts, alert) {
			t.Errorf("there is no alert %s", alert)
		}
	}
	_, table, _ := strings.Cut(string(page), "\n## When something is wrong\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var rows []string
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) < 4 || strings.HasPrefix(line, "| symptom") {
			continue
		}
		rows = append(rows, allOf(name, cells[0])...)
		if !strings.Contains(cells[1], "`") {
			t.Errorf("nothing to look at: %s", line)
		}
	}
	if slices.Sort(rows); !slices.Equal(rows, alerts) {
		t.Errorf("the runbook has rows for %q, there are %q", rows, alerts)
	}
}

// Every kind of trouble that /troublez tells of has its row in the runbook, and docs/troubles.md
// names it.
func TestRunbookHasEveryTrouble(t *testing.T) {
	pages := docPages(t)
	table, told := pages["docs/operations.md"], pages["docs/troubles.md"]
	for k := range trouble.Kinds {
		row := `(?m)^\| .*<a id="` + k.Anchor() + `"></a>.* \|$`
		if len(regexp.MustCompile(row).FindAllString(table.text, -1)) != 1 {
			t.Errorf("%s: no one row has the anchor %s", k, k.Anchor())
		}
		if !strings.Contains(told.text, "| `"+k.String()+"` | "+k.Severity().String()) {
			t.Errorf("%s: docs/troubles.md has no row for it that says %s", k, k.Severity())
		}
	}
	for e := event.Opened; e <= event.Saturated; e++ {
		if !strings.Contains(told.text, "| `"+e.String()+"` |") {
			t.Errorf("docs/troubles.md has no row for the event %s", e)
		}
	}
	for _, anchor := range allOf(namedAnchor.String(), table.text) {
		if !slices.ContainsFunc(allKinds(), func(k trouble.Kind) bool {
			return k.Anchor() == anchor
		}) {
			t.Errorf("no trouble leads to %s", anchor)
		}
	}
}

func allKinds() (all []trouble.Kind) {
	for k := range trouble.Kinds {
		all = append(all, k)
	}
	return all
}

// What the runbook quotes of the log is something that the node says.
func TestRunbookQuotesTheLog(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	for _, text := range goSources(t) {
		sources.WriteString(text)
	}
	quoted := allOf("log: `([^`…]+)…?`", string(page))
	if len(quoted) < 5 {
		t.Errorf("it quotes %q", quoted)
	}
	for _, line := range quoted {
		if !strings.Contains(sources.String(), `"`+line) {
			t.Errorf("no line of the log begins with %q", line)
		}
	}
}

// Keys are written so that TestDocsDottedNames finds them: between backticks.
func TestRunbookNamesKeysAsCode(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	prose := inlineCode.ReplaceAllString(newDocPage("docs/operations.md", string(page)).prose, "")
	for _, k := range config.Keys() {
		if strings.Contains(k.Name, ".") && strings.Contains(prose, k.Name) {
			t.Errorf("%s stands without backticks", k.Name)
		}
	}
}
