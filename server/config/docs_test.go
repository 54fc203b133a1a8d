package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// docRow is the line of docs/configuration.md that describes a key.
func docRow(k *Key) string {
	code := func(s string) string {
		if s == "" {
			return ""
		}
		return "`" + s + "`"
	}
	def, env, flag := code(k.Default), code(k.Env), ""
	if k.Default == "" {
		def = "(empty)"
		if k.kind == kindBytes {
			def = fmt.Sprintf("%d %% of the memory", memoryShare)
		}
	}
	if k.Flag != "" {
		flag = code("--" + k.Flag)
	}
	doc := k.Doc
	if k.Pending {
		doc += " (**no effect in this version**)"
	}
	if k.Live {
		doc += " (**live**)"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s |",
		code(k.Name), env, flag, def, k.Unit, k.Range(), doc)
}

func TestDocumentationHasEveryKey(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		if row := docRow(&k); !strings.Contains(string(page), row+"\n") {
			t.Errorf("docs/configuration.md has no line\n%s", row)
		}
	}
	described := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	for _, m := range described.FindAllStringSubmatch(string(page), -1) {
		if keyByName[m[1]] == nil {
			t.Errorf("docs/configuration.md describes %s, which is no key", m[1])
		}
	}
}
