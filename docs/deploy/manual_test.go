package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	flagInHelp = regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z][a-z-]*)`)
	subInHelp  = regexp.MustCompile(`(?m)^  ([a-z]+) {2,}\S`)
)

// Every command of both programs has a manual page, with every flag that its help has, which a
// formatter has nothing against; and shells can read the completions.
func TestManual(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	run(t, "make", "man", "BIN="+bin)
	build := command(t, "go", "build", "-o", bin, "./cmd/mb", "./cmd/mb-server")
	output(t, build)
	manual := filepath.Join(bin, "manual")
	pages := 0
	var check func(program, section string, commands ...string)
	check = func(program, section string, commands ...string) {
		name := strings.Join(append([]string{program}, commands...), "-")
		path := filepath.Join(manual, "man", "man"+section, name+"."+section)
		page, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			return
		}
		pages++
		// Errors, and what was meant as something else; not matters of taste.
		lint := command(t, "mandoc", "-T", "lint", "-W", "warning", path)
		if out, _ := lint.CombinedOutput(); len(serious(string(out))) > 0 {
			t.Errorf("%s:\n%s", name, strings.Join(serious(string(out)), "\n"))
		}
		help := run(t, filepath.Join(bin, program), append(commands, "--help")...)
		shown := strings.ReplaceAll(string(page), `\-`, "-")
		for _, m := range flagInHelp.FindAllStringSubmatch(help, -1) {
			if !strings.Contains(shown, m[1]) {
				t.Errorf("%s.%s has no %s", name, section, m[1])
			}
		}
		_, below, _ := strings.Cut(help, "\n\n")
		for _, m := range subInHelp.FindAllStringSubmatch(below, -1) {
			if m[1] != "help" {
				check(program, section, append(commands[:len(commands):len(commands)], m[1])...)
			}
		}
	}
	check("mb", "1")
	check("mb-server", "8")
	all, _ := filepath.Glob(filepath.Join(manual, "man", "man*", "*")) // The pattern is good.
	if pages < 20 || len(all) != pages {
		t.Errorf("%d pages belong to commands, of %d", pages, len(all))
	}
	for _, program := range []string{"mb", "mb-server"} {
		completions := filepath.Join(manual, "completions")
		script := filepath.Join(completions, "bash", program)
		run(t, "bash", "-n", script)
		if !strings.Contains(text(t, script), "__complete") {
			t.Errorf("%s completes nothing", script)
		}
		for _, other := range []string{"zsh/_" + program, "fish/" + program + ".fish"} {
			if text(t, filepath.Join(completions, other)) == "" {
				t.Errorf("%s is empty", other)
			}
		}
	}
}

// serious are the lines of a linter of pages that are not about what every generated page has.
func serious(said string) (lines []string) {
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); line != "" && !tolerated.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// The date as "Nov 2026", and the tab between a flag and what it is for.
var tolerated = regexp.MustCompile(`cannot parse date|tab in filled text`)
