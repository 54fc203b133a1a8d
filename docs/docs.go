// Package docs is the documentation as the program has it with it: what the console shows of it.
package docs

import _ "embed"

// Operations is the runbook, operations.md. It is not to be changed.
//
//go:embed operations.md
var Operations []byte
