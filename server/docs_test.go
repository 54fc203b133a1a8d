package server

import (
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"mbserver/server/config"
	"mbserver/server/metrics"
)

// docPage is one Markdown file of the repository.
type docPage struct {
	path    string // from the repository's root
	text    string // all of it
	prose   string // without blocks of code
	anchors map[string]bool
}

// docPages reads every Markdown file, by its path from the root.
func docPages(t *testing.T) map[string]*docPage {
	t.Helper()
	pages := make(map[string]*docPage)
	err := fs.WalkDir(os.DirFS(".."), ".", func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		built := at == "bin" || d.Name() == "node_modules"
		if d.IsDir() && (at != "." && d.Name()[0] == '.' || built) {
			return fs.SkipDir
		}
		if d.IsDir() || path.Ext(at) != ".md" {
			return nil
		}
		text, err := os.ReadFile(filepath.Join("..", at))
		pages[at] = newDocPage(at, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 20 {
		t.Fatalf("only %d pages were found", len(pages))
	}
	return pages
}

func newDocPage(at, text string) *docPage {
	p := &docPage{path: at, text: text, anchors: make(map[string]bool)}
	var prose strings.Builder
	code := false
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			code = !code
		case code || strings.HasPrefix(line, "    ") && !strings.HasPrefix(p.path, "docs/adr"):
		default:
			prose.WriteString(line)
			for _, m := range namedAnchor.FindAllStringSubmatch(line, -1) {
				p.anchors[m[1]] = true
			}
			if heading := strings.TrimLeft(line, "#"); heading != line && heading[0] == ' ' {
				p.addAnchor(strings.TrimSpace(heading))
			}
		}
	}
	p.prose = prose.String()
	return p
}

// namedAnchor is one that stands where no heading does.
var namedAnchor = regexp.MustCompile(`<a id="([a-z-]+)"></a>`)

var linkText = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)

// addAnchor notes the name by which GitHub finds a heading.
func (p *docPage) addAnchor(heading string) {
	slug := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, linkText.ReplaceAllString(heading, "$1"))
	for n, name := 1, slug; ; n++ {
		if !p.anchors[name] {
			p.anchors[name] = true
			return
		}
		name = slug + "-" + string(rune('0'+n))
	}
}

var docLink = regexp.MustCompile(`\]\(([^)\s]*)\)`)

// links are the targets of the page's own links: paths from the root, with the anchor.
func (p *docPage) links(t *testing.T) (targets []string) {
	for _, m := range docLink.FindAllStringSubmatch(inlineCode.ReplaceAllString(p.prose, ""), -1) {
		u, err := url.Parse(m[1])
		switch {
		case err == nil && u.Scheme != "":
		case err != nil || u.Host != "" || strings.HasPrefix(u.Path, "/"):
			t.Errorf("%s: a bad link: %s", p.path, m[1])
		case u.Path == "":
			targets = append(targets, p.path+"#"+u.Fragment)
		default:
			target := path.Join(path.Dir(p.path), u.Path)
			if u.Fragment != "" {
				target += "#" + u.Fragment
			}
			targets = append(targets, target)
		}
	}
	return targets
}

var inlineCode = regexp.MustCompile("`[^`\n]*`")

// Every relative link leads to a file of the repository, and its anchor to a heading of the page.
func TestDocsLinks(t *testing.T) {
	pages := docPages(t)
	for _, p := range pages {
		for _, target := range p.links(t) {
			file, anchor, _ := strings.Cut(target, "#")
			if _, err := os.Stat(filepath.Join("..", file)); err != nil {
				t.Errorf("%s: a link to %s, which is not there", p.path, file)
			}
			if to := pages[file]; anchor != "" && (to == nil || !to.anchors[anchor]) {
				t.Errorf("%s: a link to %s, which is no heading", p.path, target)
			}
		}
	}
}

// Whoever begins with the README comes to every page.
func TestDocsAreReachable(t *testing.T) {
	pages := docPages(t)
	seen := map[string]bool{"README.md": true}
	for todo := []string{"README.md"}; len(todo) > 0; todo = todo[1:] {
		for _, target := range pages[todo[0]].links(t) {
			file, _, _ := strings.Cut(target, "#")
			if pages[file] != nil && !seen[file] {
				seen[file] = true
				todo = append(todo, file)
			}
		}
	}
	for at := range pages {
		if !seen[at] && !strings.Contains(at, "testdata/") {
			t.Errorf("no link leads to %s", at)
		}
	}
}

// goSources is the text of every Go file but this one, by path.
func goSources(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, f := range sources(t) {
		if f.path != "server/docs_test.go" {
			all[f.path] = string(f.text)
		}
	}
	return all
}

var (
	docPath = regexp.MustCompile("`((?:server|codec|topic|ringbuf|client|cmd|bench|docs|\\.ci)/" +
		"[^`\\s]+)`((?:, `\\w+`)*)")
	docWord = regexp.MustCompile("`(\\w+)`")
)

// A file that a page names is there, and what is named right after it is in it.
func TestDocsNameWhatIsThere(t *testing.T) {
	code := goSources(t)
	for _, p := range docPages(t) {
		if p.path == "CHANGELOG.md" || strings.HasPrefix(p.path, "docs/adr/") { // as it was then
			continue
		}
		for _, m := range docPath.FindAllStringSubmatch(p.prose, -1) {
			found, err := filepath.Glob(filepath.Join("..", m[1]))
			if err != nil || len(found) == 0 {
				t.Errorf("%s: %s is not there", p.path, m[1])
			}
			if path.Ext(m[1]) != ".go" {
				continue
			}
			for _, word := range docWord.FindAllStringSubmatch(m[2], -1) {
				if !regexp.MustCompile(`\b` + word[1] + `\b`).MatchString(code[m[1]]) {
					t.Errorf("%s: %s is not in %s", p.path, word[1], m[1])
				}
			}
		}
	}
}

// namesIn returns what expr finds in the pages, each with the pages that have it. Pages that tell
// of the past are left out.
func namesIn(t *testing.T, expr string) map[string][]string {
	t.Helper()
	names := make(map[string][]string)
	for _, p := range docPages(t) {
		if strings.HasPrefix(p.path, "docs/adr/") {
			continue
		}
		for _, m := range regexp.MustCompile(expr).FindAllStringSubmatch(p.text, -1) {
			if !slices.Contains(names[m[1]], p.path) {
				names[m[1]] = append(names[m[1]], p.path)
			}
		}
	}
	return names
}

// Commands of make, of the tool, and flags are some that there are.
func TestDocsCommands(t *testing.T) {
	code := goSources(t)
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for target, pages := range namesIn(t, "(?:^|[`(]|    )make ([a-z][a-z-]*)") {
		if !strings.Contains("\n"+string(makefile), "\n"+target+":") {
			t.Errorf("%v: there is no make %s", pages, target)
		}
	}
	var tool, programs strings.Builder
	for _, at := range slices.Sorted(maps.Keys(code)) {
		if strings.HasPrefix(at, "cmd/mb/") {
			tool.WriteString(code[at])
		}
		programs.WriteString(code[at])
	}
	for command, pages := range namesIn(t, "(?:`|bin/|\\$ )mb ([a-z]+)") {
		if !regexp.MustCompile(`Use: +"` + command + `\b`).MatchString(tool.String()) {
			t.Errorf("%v: there is no mb %s", pages, command)
		}
	}
	foreign := strings.Fields("--help --version --no-install-recommends --ulimit --restart " +
		"--name --publish --env --env-file --volume --read-only --mount --user --rm --detach " +
		"--kill-whom --file --tag --stop-timeout --now --force-script-chrootless")
	for flag, pages := range namesIn(t, "[`\\s](--[a-z][a-z-]+)") {
		if !slices.Contains(foreign, flag) &&
			!strings.Contains(programs.String(), `"`+strings.TrimPrefix(flag, "--")+`"`) {
			t.Errorf("%v: no program has %s", pages, flag)
		}
	}
	for reason, pages := range namesIn(t, "reason:\"([a-z_]+)\"") {
		if !strings.Contains(programs.String(), `"`+reason+`"`) {
			t.Errorf("%v: nothing has the reason %s", pages, reason)
		}
	}
}

// braces are alternatives: a.{b,c} is a.b and a.c.
var braces = regexp.MustCompile(`^(.*?)\{([^{}]*)\}(.*)$`)

var systemTopic = regexp.MustCompile(`[" ](system(?:\.[a-z]+)+)`)

func spelledOut(name string) (all []string) {
	m := braces.FindStringSubmatch(name)
	if m == nil || strings.Contains(m[2], ":") { // {serviceid:…} stands in the name
		return []string{name}
	}
	for each := range strings.SplitSeq(m[2], ",") {
		all = append(all, spelledOut(m[1]+each+m[3])...)
	}
	return all
}

// Keys of the configuration, names of metrics and topics of the node are some that there are.
func TestDocsDottedNames(t *testing.T) {
	known := make(map[string]bool)
	add := func(name string) {
		for name = strings.ToLower(name); name != ""; {
			known[name] = true // of a.b.c, a.b.* is a name too
			name = name[:max(strings.LastIndexByte(name, '.'), 0)]
		}
	}
	add("ports.websocket") // an older key of the original server, which docs/migrating.md names
	families := make(map[string]bool)
	for _, k := range config.Keys() {
		add(k.Name)
		first, _, dotted := strings.Cut(k.Name, ".")
		families[first] = dotted
	}
	for _, m := range metrics.Table {
		add(m.Name)
	}
	for _, text := range goSources(t) {
		for _, m := range systemTopic.FindAllStringSubmatch(text, -1) {
			add(m[1])
		}
	}
	for name, pages := range namesIn(t, "`([a-z]+(?:\\.[a-zA-Z{},*]+)+)`") {
		first, _, _ := strings.Cut(name, ".")
		if !families[first] || path.Ext(name) == ".go" {
			continue
		}
		for _, each := range spelledOut(strings.TrimSuffix(name, ".*")) {
			if !known[strings.ToLower(each)] {
				t.Errorf("%v: there is no %s", pages, each)
			}
		}
	}
}

// clusterMetric says that a name, or what one begins with, is of those that only a node in a
// cluster has.
func clusterMetric(name string) bool {
	return strings.HasPrefix(name, "mb_cluster_") &&
		slices.ContainsFunc(metrics.ClusterTable, func(f metrics.Labelled) bool {
			return strings.HasPrefix(f.Export, name)
		})
}

// What pages say of /metrics is there.
func TestDocsMetrics(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	_, page, _ := adminCall(t, "GET", "http://"+n.Addr("admin")+"/metrics")
	names := namesIn(t, `\b((?:mb|process|go)_[a-z0-9_]+)\b`)
	if len(names) < 30 {
		t.Fatalf("only %d names in the pages", len(names))
	}
	for name, pages := range names {
		if clusterMetric(name) {
			continue // of a node in a cluster
		}
		if !regexp.MustCompile(`(?m)^` + name + `(_bucket|_sum|_count)?[ {]`).MatchString(page) {
			t.Errorf("%v: /metrics has no %s", pages, name)
		}
	}
}
