package server

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// arrows is the layout: who imports whom, of the module's own packages. docs/architecture.md draws
// it. An arrow that is added here needs a reason there; none may run upward.
var arrows = map[string]string{
	"codec": "", "topic": "", "ringbuf": "",

	"server": "server/admin server/auth server/backplane server/broker server/census " +
		"server/config server/door server/logging server/origin server/permit server/reactor " +
		"server/secure server/system",
	"server/door": "codec server/auth server/broker server/config server/fair server/limit " +
		"server/metrics server/origin server/reactor server/secure",
	"server/admin": "client codec server/admin/console server/census server/event " +
		"server/metrics server/origin server/permit server/system server/trouble " +
		"server/watch topic",
	"server/reactor": "ringbuf server/broker server/secure",
	"server/broker": "codec ringbuf server/abroad server/auth server/census server/config " +
		"server/event " +
		"server/fair server/limit server/logging server/metrics server/origin server/permit " +
		"server/secure server/system server/trace server/trouble server/watch server/wheel topic",
	"server/system": "codec ringbuf server/logging server/metrics server/permit server/trace " +
		"topic",
	"server/admin/console": "docs",
	"server/census":        "codec",
	"server/abroad":        "codec",
	"server/trace":         "codec",
	"server/backplane":     "codec server/abroad server/metrics topic",
	"server/auth":          "server/fair server/origin",
	"server/permit":        "topic",
	"server/watch":         "codec server/permit topic",
	"server/limit":         "topic",
	"server/metrics":       "codec",
	"server/fair":          "",
	"server/trouble":       "",
	"server/event":         "codec",
	"server/wheel":         "",
	"server/config":        "server/origin server/secure",
	"server/origin":        "",
	"server/secure":        "",
	"server/logging":       "",
	"server/blackbox":      "",

	"docs": "",

	"client":            "codec",
	"client/clienttest": "codec",
	"bench":             "bench/proc bench/raw",
	"bench/proc":        "",
	"bench/raw":         "",
	"bench/overload":    "bench/proc",
	"bench/roll":        "bench/proc client",
	"bench/soak":        "bench/proc",
	"bench/wsecho":      "server server/config",
	"docs/demo/cluster": "bench/proc client",
	"cmd/mb-server": "cmd/internal/build cmd/internal/manual cmd/mb/terminal server " +
		"server/config server/logging",
	"cmd/mb": "bench bench/raw client cmd/internal/build cmd/internal/manual cmd/mb/contexts " +
		"cmd/mb/human cmd/mb/load cmd/mb/observe cmd/mb/template cmd/mb/terminal cmd/mb/top " +
		"codec topic",
	"cmd/internal/build":  "",
	"cmd/internal/manual": "cmd/internal/build",
	"cmd/mb/contexts":     "",
	"cmd/mb/template":     "",
	"cmd/mb/terminal":     "",
	"cmd/mb/human":        "",
	"cmd/mb/observe":      "client cmd/mb/terminal",
	"cmd/mb/top":          "cmd/mb/human cmd/mb/observe cmd/mb/terminal",
	"cmd/mb/load":         "client",
}

// onlyImporters are those who may know a library or a part of the standard library.
var onlyImporters = map[string]string{
	"github.com/panjf2000/gnet/v2":                "", // of gnet only its poller is used
	"github.com/panjf2000/gnet/v2/pkg/errors":     "server/reactor",
	"github.com/panjf2000/gnet/v2/pkg/netpoll":    "server/reactor",
	"github.com/panjf2000/gnet/v2/pkg/queue":      "server/reactor",
	"github.com/pires/go-proxyproto":              "codec",
	"github.com/nats-io/nats.go":                  "server/backplane",
	"github.com/gobwas/ws":                        "client client/clienttest codec",
	"github.com/VictoriaMetrics/metrics":          "server/admin",
	"golang.org/x/net/netutil":                    "server/admin",
	"github.com/coder/websocket":                  "", // tests only
	"github.com/chromedp/chromedp":                "", // tests only
	"github.com/golang-jwt/jwt/v5":                "server/auth",
	"github.com/MicahParks/jwkset":                "server/auth",
	"github.com/fsnotify/fsnotify":                "cmd/mb-server",
	"github.com/coreos/go-systemd/v22":            "", // of it only these two:
	"github.com/coreos/go-systemd/v22/activation": "cmd/mb-server",
	"github.com/coreos/go-systemd/v22/daemon":     "cmd/mb-server",
	"github.com/spf13/cobra/doc":                  "cmd/internal/manual",
	"pgregory.net/rapid":                          "",
	"go.uber.org/goleak":                          "",
	"charm.land/bubbletea/v2":                     "cmd/mb/top docs/demo/cluster",
	"github.com/guptarohit/asciigraph":            "cmd/mb/top",
	"net/http": "bench client cmd/mb/observe docs/demo/cluster server/admin " +
		"server/admin/console",
	"net/http/pprof": "server/admin",
	"log":            "",
}

// Bounds of what a reader has to hold in mind.
const (
	fileLines     = 420
	testFileLines = 600
	functionLines = 80
	lineColumns   = 100 // a tab counts as four
)

// sourceFile is one parsed file of the module.
type sourceFile struct {
	path string // from the module's root
	pkg  string // folder
	text []byte
	tree *ast.File
	set  *token.FileSet
}

func (f *sourceFile) test() bool { return strings.HasSuffix(f.path, "_test.go") }

// sources parses every Go file of the module.
func sources(t *testing.T) (files []*sourceFile) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		hidden := path != ".." && name[0] == '.'
		if d.IsDir() && (hidden || name == "testdata" || name == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		f := &sourceFile{set: token.NewFileSet()}
		if f.text, err = os.ReadFile(path); err != nil {
			return err
		}
		f.path = filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
		f.pkg = strings.TrimSuffix(f.path, "/"+name)
		f.tree, err = parser.ParseFile(f.set, path, f.text, parser.ParseComments)
		files = append(files, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 100 {
		t.Fatalf("only %d files were found", len(files))
	}
	return files
}

// Who imports whom is what the table says: no arrow more, and none that is not there.
func TestLayoutArrows(t *testing.T) {
	got := make(map[string]map[string]bool)
	for _, f := range sources(t) {
		if f.test() || strings.HasPrefix(f.pkg, "bench/peers") { // a module of its own
			continue
		}
		if got[f.pkg] == nil {
			got[f.pkg] = make(map[string]bool)
		}
		for _, spec := range f.tree.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			if own, ok := strings.CutPrefix(path, "mbserver/"); ok {
				got[f.pkg][own] = true
			}
			may, named := onlyImporters[path]
			if named && !slices.Contains(strings.Fields(may), f.pkg) {
				t.Errorf("%s imports %s; only %q may (see onlyImporters in server/layout_test.go)",
					f.path, path, may)
			}
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(got)) {
		is := strings.Join(slices.Sorted(maps.Keys(got[pkg])), " ")
		if want, known := arrows[pkg]; !known || is != want {
			t.Errorf("%s imports %q, the layout says %q", pkg, is, want)
		}
	}
	for pkg := range arrows {
		if got[pkg] == nil && pkg != "server/blackbox" { // tests only
			t.Errorf("the layout has %s, which is not there", pkg)
		}
	}
}

// Files, functions and lines stay short, and every package says what it is.
func TestLayoutSizes(t *testing.T) {
	documented := make(map[string]bool)
	for _, f := range sources(t) {
		lines, most := bytes.Split(f.text, []byte("\n")), fileLines
		if f.test() {
			most = testFileLines
		}
		if n := len(lines) - 1; n > most {
			t.Errorf("%s has %d lines, at most %d", f.path, n, most)
		}
		for i, line := range lines {
			width := utf8.RuneCount(line) + 3*bytes.Count(line, []byte("\t"))
			if width > lineColumns {
				t.Errorf("%s:%d has %d columns, at most %d", f.path, i+1, width, lineColumns)
			}
		}
		for _, d := range f.tree.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				first, last := f.set.Position(fn.Pos()).Line, f.set.Position(fn.End()).Line
				if n := last - first + 1; n > functionLines {
					t.Errorf("%s:%d: %s has %d lines, at most %d",
						f.path, first, fn.Name.Name, n, functionLines)
				}
			}
		}
		documented[f.pkg] = documented[f.pkg] || f.tree.Doc != nil
	}
	for pkg, is := range documented {
		if !is {
			t.Errorf("package %s has no doc comment", pkg)
		}
	}
}
