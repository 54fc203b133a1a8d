// Package build says what the programs were built from: all give the same version and commit.
package build

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

// Version is that of the project; a release build sets it with
// -ldflags "-X mbserver/cmd/internal/build.Version=…".
var Version = "0.1.0"

// commitDigits is how much of a commit's name is shown.
const commitDigits = 12

// Commit is where in the history the sources were, "" when the build did not know it: the first
// digits of the commit's name, with "+changes" when the sources were not exactly that.
var Commit = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return commitOf(info.Settings)
})

func commitOf(settings []debug.BuildSetting) (commit string) {
	changes := ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(len(s.Value), commitDigits)]
		case s.Key == "vcs.modified" && s.Value == "true":
			changes = "+changes"
		}
	}
	if commit == "" {
		return ""
	}
	return commit + changes
}

// Full is the version and, when it is known, the commit.
func Full() string {
	if commit := Commit(); commit != "" {
		return Version + " " + commit
	}
	return Version
}

// Line is what a program says when it is asked for its version.
func Line(program string) string {
	commit := Commit()
	if commit == "" {
		commit = "unknown"
	}
	return fmt.Sprintf("%s %s (commit %s, %s, %s/%s)",
		program, Version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
