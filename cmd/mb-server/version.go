package main

import (
	"fmt"
	"runtime"
	"strings"
)

// version is the node's version; a release build sets it with -ldflags "-X main.version=…".
var version = "0.1.0"

// versionLine is what --version prints.
func versionLine() string {
	return fmt.Sprintf("mb-server %s (%s, %s/%s)",
		version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// indent sets the lines of a message of several faults apart from its heading.
func indent(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") }
