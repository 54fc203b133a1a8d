package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Fields are the fields that a line may have, with what they stand for.
var Fields = [][2]string{
	{"number", "1, 2, 3 … in the order of arrival"},
	{"time", "when it arrived, as in --json"},
	{"clock", "the same in local time, without the day"},
	{"unix", "the same in seconds since 1970, with milliseconds"},
	{"topic", "as its publisher wrote it; {topic.2} is its second level"},
	{"version", "of the message"},
	{"id", "of the message"},
	{"bytes", "length of the payload"},
	{"payload", "all of it; {payload.a.b} is a field of a JSON object"},
}

// Message is what a line is made of.
type Message struct {
	Number             int
	Topic, Version, ID string
	Payload            []byte
	Arrived            time.Time
}

// Line is a text in which {field} stands for a part of a message. Immutable.
type Line struct{ parts []piece }

// piece is text, or a field and the way into it.
type piece struct {
	text  string // when field is empty
	field string
	path  []string
}

// ParseLine reads the text of a line: {field} for fields, {{ and }} for braces, \n, \t and \\.
func ParseLine(text string) (*Line, error) {
	l := &Line{}
	for rest := text; rest != ""; {
		at := strings.IndexAny(rest, `{}\`)
		if at < 0 {
			at = len(rest)
		}
		if at > 0 {
			l.parts = append(l.parts, piece{text: rest[:at]})
		}
		if rest = rest[at:]; rest == "" {
			break
		}
		p, size, err := parsePiece(rest)
		if err != nil {
			return nil, err
		}
		l.parts, rest = append(l.parts, p), rest[size:]
	}
	return l, nil
}

// parsePiece reads what begins with a brace or a backslash and returns its length, in bytes.
func parsePiece(text string) (p piece, size int, err error) {
	if len(text) > 1 {
		switch text[:2] {
		case "{{", "}}", `\\`:
			return piece{text: text[:1]}, 2, nil
		case `\n`:
			return piece{text: "\n"}, 2, nil
		case `\t`:
			return piece{text: "\t"}, 2, nil
		}
	}
	end := strings.IndexByte(text, '}')
	switch {
	case text[0] == '\\':
		return p, 0, fmt.Errorf(`%s: after \ comes n, t or another \`, text)
	case text[0] == '}':
		return p, 0, fmt.Errorf("%s: } without {; }} stands for the brace itself", text)
	case end < 0:
		return p, 0, fmt.Errorf("%s: { without }; {{ stands for the brace itself", text)
	}
	p.field, p.path = text[1:end], nil
	if name, way, deep := strings.Cut(p.field, "."); deep {
		p.field, p.path = name, strings.Split(way, ".")
	}
	if !p.known() {
		return p, 0, fmt.Errorf("%s is no field: %s", text[:end+1], fieldNames())
	}
	return p, end + 1, nil
}

func fieldNames() string {
	var names []string
	for _, f := range Fields {
		names = append(names, "{"+f[0]+"}")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last] + " are"
}

func (p *piece) known() bool {
	switch p.field {
	case "topic":
		return len(p.path) == 0 || len(p.path) == 1 && p.level() > 0
	case "payload":
		for _, name := range p.path {
			if name == "" {
				return false
			}
		}
		return true
	}
	for _, f := range Fields {
		if f[0] == p.field {
			return len(p.path) == 0
		}
	}
	return false
}

// level is the number of the topic's level that is meant, from 1; 0 when it is none.
func (p *piece) level() int {
	n, err := strconv.ParseUint(p.path[0], 10, 8)
	if err != nil {
		return 0
	}
	return int(n)
}

// Append appends the line, without a newline at its end. What a message does not have is empty.
func (l *Line) Append(dst []byte, m *Message) []byte {
	var object any
	read := false
	for i := range l.parts {
		p := &l.parts[i]
		if p.field == "payload" && p.path != nil && !read {
			object, read = decode(m.Payload), true
		}
		dst = p.append(dst, m, object)
	}
	return dst
}

func decode(payload []byte) (value any) {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if d.Decode(&value) != nil {
		return nil
	}
	return value
}

func (p *piece) append(dst []byte, m *Message, object any) []byte {
	switch p.field {
	case "":
		return append(dst, p.text...)
	case "number":
		return strconv.AppendInt(dst, int64(m.Number), 10)
	case "time":
		return m.Arrived.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	case "clock":
		return m.Arrived.AppendFormat(dst, "15:04:05.000")
	case "unix":
		return strconv.AppendFloat(dst, float64(m.Arrived.UnixMilli())/1000, 'f', 3, 64)
	case "version":
		return append(dst, m.Version...)
	case "id":
		return append(dst, m.ID...)
	case "bytes":
		return strconv.AppendInt(dst, int64(len(m.Payload)), 10)
	case "topic":
		if p.path == nil {
			return append(dst, m.Topic...)
		}
		if levels := strings.Split(m.Topic, "."); p.level() <= len(levels) {
			return append(dst, levels[p.level()-1]...)
		}
		return dst
	}
	if p.path == nil {
		return append(dst, m.Payload...)
	}
	value, ok := field(object, p.path)
	if !ok {
		return dst
	}
	if text, is := value.(string); is {
		return append(dst, text...)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return dst
	}
	return append(dst, text...)
}
