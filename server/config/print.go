package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// YAML returns the whole configuration, one dotted key a line in the order of the table, in a form
// that Load reads back to the same Config. Behind each value stands its unit, whether it is live
// and where it came from. It holds the paths of key and certificate, never their content.
func (c Config) YAML(from Origins) []byte {
	var b bytes.Buffer
	for i := range keys {
		k := &keys[i]
		source := cmp.Or(from[k.Name].Source, "default")
		fmt.Fprintf(&b, "%s: %s # ", k.Name, k.yaml(&c))
		if k.Unit != "" {
			b.WriteString(k.Unit + "; ")
		}
		if k.Live {
			b.WriteString("live; ")
		}
		b.WriteString(strings.Map(printable, source) + "\n")
	}
	return b.Bytes()
}

// Text returns a key's value in c as it stands in what YAML returns.
func (k *Key) Text(c *Config) string { return k.yaml(c) }

// Secret says that a value is for nobody's eyes.
func (k *Key) Secret() bool { return k.Name == "auth.tokens" }

// Grants says that a value tells what others may do.
func (k *Key) Grants() bool {
	return strings.HasPrefix(k.Name, "permissions.") || k.Name == roleRatesKey
}

// printable keeps a path within its comment.
func printable(r rune) rune {
	if !strconv.IsPrint(r) {
		return '?'
	}
	return r
}

// plain returns the field as an operator writes it:
// durations as numbers of the key's unit, levels as words.
func (k *Key) plain(c *Config) any {
	switch p := k.at(c).(type) {
	case *int:
		return *p
	case *int64:
		return *p
	case *bool:
		return *p
	case *string:
		return *p
	case *time.Duration:
		if *p == Auto && len(k.values) > 0 {
			return k.values[0]
		}
		if *p%k.unit() != 0 {
			return p.String()
		}
		return int64(*p / k.unit())
	case *slog.Level:
		return strings.ToLower(p.String())
	case *map[string]int:
		return *p
	case *[]string:
		return *p
	case *[]netip.Prefix:
		return prefixTexts(*p)
	case *ProxyProtocol:
		return *p
	case tree:
		return p
	}
	panic("config: " + k.Name + " has a field of an unknown type")
}

// yaml returns the field as YAML on one line. A JSON string is a YAML double-quoted string.
func (k *Key) yaml(c *Config) string {
	switch v := k.plain(c).(type) {
	case string:
		if strings.Contains(v, "-----BEGIN") {
			v = ""
		}
		return quote(v)
	case map[string]int:
		return ratesText(v)
	case []string:
		return listText(v)
	case ProxyProtocol:
		return eachText(v)
	case tree:
		return treeText(v)
	default:
		return fmt.Sprint(v)
	}
}

// ratesText is a map of rates on one line, as YAML and JSON.
func ratesText(rates map[string]int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, pattern := range slices.Sorted(maps.Keys(rates)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s: %d", quote(pattern), rates[pattern])
	}
	b.WriteByte('}')
	return b.String()
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""` // a string always marshals
	}
	return string(b)
}
