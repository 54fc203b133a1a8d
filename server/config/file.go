package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v4"
)

// fileLayer reads and checks the YAML (or JSON) file. Nested and dotted keys mean the same.
func fileLayer(path string) *layer {
	text, err := os.ReadFile(path)
	if err != nil {
		l := newLayer()
		l.faults = append(l.faults,
			&Error{Source: "file " + path, Reason: fileReason(err).Error()})
		return l
	}
	return readFile(path, text)
}

// file is a configuration file while it is read.
type file struct {
	name string
	*layer
}

// readFile takes the text of a file.
func readFile(name string, text []byte) *layer {
	f := file{name, newLayer()}
	root, err := parseDocument(text)
	var bad *syntaxError
	switch {
	case errors.As(err, &bad):
		f.faults = append(f.faults, &Error{Source: f.at(bad.line), Reason: bad.reason})
	case root == nil || isNull(root):
	case root.Kind != yaml.MappingNode:
		f.faults = append(f.faults, &Error{
			Source: f.at(root.Line), Reason: "must be a map of keys, and is " + describe(root),
		})
	default:
		f.walk("", root)
	}
	return f.layer
}

// at names a line of the file; 0 is an unknown one.
func (f *file) at(line int) string {
	if line == 0 {
		return "file " + f.name
	}
	return fmt.Sprintf("file %s, line %d", f.name, line)
}

// parseDocument returns the one document of a text: nil when there is nothing in it. The error is a
// *syntaxError.
func parseDocument(text []byte) (root *yaml.Node, err error) {
	loader, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithV4Defaults())
	if err != nil {
		return nil, &syntaxError{reason: err.Error()}
	}
	var first, more yaml.Node
	if err := loader.Load(&first); err == io.EOF {
		return nil, nil
	} else if err != nil {
		return nil, explainSyntax(text, err)
	}
	// What follows would be passed over without a word.
	switch err := loader.Load(&more); {
	case err == nil:
		return nil, &syntaxError{more.Line, "a second document begins here: there may be only one"}
	case err != io.EOF:
		return nil, explainSyntax(text, err)
	}
	root = &first
	if root.Kind == yaml.DocumentNode {
		root = root.Content[0]
	}
	return resolve(root), nil
}

// resolve returns what an alias stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe says what a node is.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	return showNode(n)
}

// showNode prints a scalar for a message, as it was meant: what is text in quotes.
func showNode(n *yaml.Node) string {
	switch {
	case n.Kind != yaml.ScalarNode:
		return ""
	case n.ShortTag() == "!!str":
		return show(n.Value)
	}
	return shorten(n.Value)
}

// showNodeOf is showNode for the value of a key, as showOf is show.
func showNodeOf(name string, n *yaml.Node) string {
	if mayBeSecret(name) {
		return ""
	}
	return showNode(n)
}

// walk descends nested maps until a path is a key of the table.
func (f *file) walk(prefix string, m *yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		name, value := m.Content[i], resolve(m.Content[i+1])
		if name.ShortTag() == "!!merge" || name.Kind != yaml.ScalarNode {
			f.fault(strings.TrimSuffix(prefix, "."), "", f.at(name.Line),
				errors.New("a key must be written out here"))
			continue
		}
		path := prefix + name.Value
		k, group := keyByName[path], keysBelow(path)
		switch {
		case k != nil:
			f.take(k, name, value)
		case len(group) == 0:
			f.fault(path, showNodeOf(path, value), f.at(name.Line), unknownKey(path, true))
		case value.Kind == yaml.MappingNode:
			f.walk(path+".", value)
		case !isNull(value): // a group with nothing in it says nothing
			f.fault(path, showNodeOf(path, value), f.at(name.Line), groupOf(group))
		}
	}
}

// take parses one value of the file. An empty value leaves the default.
func (f *file) take(k *Key, name, value *yaml.Node) {
	if isNull(value) {
		return
	}
	source := f.at(name.Line)
	if s, twice := f.settings[k.Name]; twice {
		f.fault(k.Name, showNodeOf(k.Name, value), source,
			errors.New("given twice, also in "+s.source))
		return
	}
	parsed, err := k.parseNode(value)
	if err != nil {
		f.fault(k.Name, showNodeOf(k.Name, value), source, err)
		return
	}
	f.put(k, parsed, source)
}
