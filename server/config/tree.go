package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v4"
)

// tree is a field whose value has parts: a list, or a map whose names the operator chooses. Until
// it is assigned its value travels as such a field; it is read once, since it may be large.
type tree interface {
	// read takes a value that is not nothing. The error says which part is wrong.
	read(n *yaml.Node) error
}

// parseTree reads a value of a tree.
func (k *Key) parseTree(n *yaml.Node) (any, error) {
	t := k.at(new(Config)).(tree)
	if err := t.read(n); err != nil {
		return nil, err
	}
	return t, nil
}

// parseTreeText reads a tree from YAML or JSON: of the environment, or of --set.
func (k *Key) parseTreeText(s string) (any, error) {
	n, err := parseDocument([]byte(s))
	if err != nil {
		return nil, err
	}
	if n == nil || isNull(n) {
		return k.at(new(Config)), nil
	}
	return k.parseTree(n)
}

// plant makes a tree what another is.
func plant(t, from tree) { reflect.ValueOf(t).Elem().Set(reflect.ValueOf(from).Elem()) }

// treeText is a tree on one line, as YAML and JSON.
func treeText(t tree) string {
	b, err := json.Marshal(t)
	if err != nil {
		panic("config: " + err.Error()) // it is text, lists and maps of text, and times
	}
	return string(b)
}

// eachPart calls f with every name of a map and its value; what has no value is left out. what says
// what the map is of.
func eachPart(n *yaml.Node, what string, f func(name string, value *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("must be a map of %s, and is %s", what, kindOf(n))
	}
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], resolve(n.Content[i+1])
		if name.ShortTag() == "!!merge" || name.Kind != yaml.ScalarNode {
			return fmt.Errorf("line %d: a name must be written out here", name.Line)
		}
		if seen[name.Value] {
			return fmt.Errorf("%q is there twice", name.Value)
		}
		seen[name.Value] = true
		if isNull(value) {
			continue
		}
		if err := f(name.Value, value); err != nil {
			return fmt.Errorf("%s: %w", name.Value, err)
		}
	}
	return nil
}

// eachItem calls f with every item of a list. what says what it is of.
func eachItem(n *yaml.Node, what string, f func(item *yaml.Node) error) error {
	if n.Kind != yaml.SequenceNode {
		return fmt.Errorf("must be a list of %s, and is %s", what, kindOf(n))
	}
	for i, item := range n.Content {
		if err := f(resolve(item)); err != nil {
			return fmt.Errorf("item %d: %w", i+1, err)
		}
	}
	return nil
}

// textOf reads a text.
func textOf(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		return "", errors.New("must be text, and is " + kindOf(n) + ": write it in quotes")
	}
	return n.Value, nil
}

// textsOf reads a list of texts.
func textsOf(n *yaml.Node, what string) (texts []string, err error) {
	err = eachItem(n, what, func(item *yaml.Node) error {
		s, err := textOf(item)
		texts = append(texts, s)
		return err
	})
	return texts, err
}

// unknownPart refuses a name that a part does not have.
func unknownPart(have ...string) error {
	return fmt.Errorf("is unknown here: there are %v", have)
}

// kindOf is describe for what may hold a secret: text is not shown.
func kindOf(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		return "text"
	}
	return describe(n)
}
