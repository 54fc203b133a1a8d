//go:build manual

package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"

	"mbserver/cmd/internal/manual"
)

// A build with the tag writes its manual: mb manual DIRECTORY.
func init() {
	_ = os.Unsetenv("MB_SERVER") // which is the default of a flag
	if manual.Main(os.Args[1:], "1", func() *cobra.Command {
		a := &app{stdin: os.Stdin, stdout: io.Discard, stderr: os.Stderr}
		a.out = &outlet{w: io.Discard}
		return a.root()
	}) {
		os.Exit(0)
	}
}
