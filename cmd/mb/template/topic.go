// Package template has the two little languages of mb: topics made from fields of payloads, and
// lines made of messages.
package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Topic is a topic in which {field} stands for a field of the message's
// JSON payload. Immutable.
//
//	{origin}                              the field's text, in lower case
//	{a.b}                                 field b of the object in field a
//	{delay:early<0,ontime<15,late}        a name by the field's number: the first
//	                                      whose bound is greater, the last otherwise
type Topic struct {
	text  string
	parts []part
}

type part struct {
	literal string   // when path is empty
	path    []string // of the field
	buckets []bucket
}

type bucket struct {
	name  string
	below float64 // +Inf in the last one
}

// ParseTopic reads a topic with fields. What fields become is not checked here.
func ParseTopic(text string) (*Topic, error) {
	t := &Topic{text: text}
	rest := text
	for rest != "" {
		literal, after, found := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return nil, fmt.Errorf("topic %q: } without {", text)
		}
		if literal != "" {
			t.parts = append(t.parts, part{literal: literal})
		}
		if !found {
			break
		}
		inside, next, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("topic %q: { without }", text)
		}
		p, err := parsePart(inside)
		if err != nil {
			return nil, fmt.Errorf("topic %q: %w", text, err)
		}
		t.parts = append(t.parts, p)
		rest = next
	}
	return t, nil
}

func parsePart(inside string) (part, error) {
	field, list, bucketed := strings.Cut(inside, ":")
	p := part{path: strings.Split(field, ".")}
	for _, name := range p.path {
		if name == "" {
			return part{}, fmt.Errorf("{%s} names no field", inside)
		}
	}
	if !bucketed {
		return p, nil
	}
	names := strings.Split(list, ",")
	last := math.Inf(-1)
	for i, entry := range names {
		name, bound, bounded := strings.Cut(entry, "<")
		b := bucket{name: name, below: math.Inf(1)}
		if bounded != (i < len(names)-1) || name == "" {
			return part{}, fmt.Errorf("{%s}: expected name<number,…,name", inside)
		}
		if bounded {
			below, err := strconv.ParseFloat(bound, 64)
			if err != nil || !(below > last) {
				return part{}, fmt.Errorf("{%s}: %q is not a number that grows", inside, bound)
			}
			b.below, last = below, below
		}
		p.buckets = append(p.buckets, b)
	}
	return p, nil
}

// String returns the topic as it was given.
func (t *Topic) String() string { return t.text }

// Fixed reports whether the topic has no fields.
func (t *Topic) Fixed() bool {
	for _, p := range t.parts {
		if p.path != nil {
			return false
		}
	}
	return true
}

// Of fills in the fields of payload, a JSON object unless t is fixed.
func (t *Topic) Of(payload []byte) (string, error) {
	if t.Fixed() {
		return t.text, nil
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil || object == nil {
		return "", fmt.Errorf("not a JSON object, as the topic %s needs", t.text)
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.path == nil {
			b.WriteString(p.literal)
			continue
		}
		text, err := p.fill(object)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func (p *part) fill(object map[string]any) (string, error) {
	name := strings.Join(p.path, ".")
	value, ok := field(object, p.path)
	if !ok {
		return "", fmt.Errorf("no field %q", name)
	}
	if p.buckets != nil {
		return p.bucket(name, value)
	}
	var text string
	switch v := value.(type) {
	case string:
		text = strings.ToLower(v)
	case json.Number:
		text = v.String()
	case bool:
		text = strconv.FormatBool(v)
	default:
		return "", fmt.Errorf("field %q is neither text nor a number", name)
	}
	foreign := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }
	if text == "" || strings.ContainsFunc(text, foreign) {
		return "", fmt.Errorf("field %q: %q has other characters than letters and digits",
			name, text)
	}
	return text, nil
}

// field goes down the path from value.
func field(value any, path []string) (any, bool) {
	for _, key := range path {
		object, ok := value.(map[string]any)
		if ok {
			value, ok = object[key]
		}
		if !ok {
			return nil, false
		}
	}
	return value, true
}

func (p *part) bucket(name string, value any) (string, error) {
	number, ok := value.(json.Number)
	if !ok {
		return "", fmt.Errorf("field %q is not a number", name)
	}
	n, err := number.Float64()
	if err != nil {
		return "", fmt.Errorf("field %q: %w", name, err)
	}
	for _, b := range p.buckets {
		if n < b.below {
			return b.name, nil
		}
	}
	return p.buckets[len(p.buckets)-1].name, nil // 1e999 and the like
}
