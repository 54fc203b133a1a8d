//go:build manual

package main

import (
	"os"

	"github.com/spf13/cobra"

	"mbserver/cmd/internal/manual"
)

// A build with the tag writes its manual: mb-server manual DIRECTORY.
func init() {
	if manual.Main(os.Args[1:], "8", func() *cobra.Command {
		return (&daemon{stdout: os.Stdout, stderr: os.Stderr}).root(new(int))
	}) {
		os.Exit(0)
	}
}
