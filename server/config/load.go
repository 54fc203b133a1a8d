package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// delimiter separates levels inside koanf. It can occur neither in a key nor in a topic pattern, so
// a dotted key is one name to koanf and the patterns of rate.limit.topic.per.service keep their
// dots.
const delimiter = "\x1f"

// EnvConfigPath is the environment variable that names the file when --config is not given.
const EnvConfigPath = "CONFIG_PATH"

// layer collects what one source says: key to parsed value, and its faults.
type layer struct {
	source string
	values map[string]any
	faults []error
}

// Load layers flags over environment over file over defaults, and validates the result. flags may
// be nil; of a set that RegisterFlags filled only what was given on the command line counts.
// environ has the form of os.Environ. The error joins every fault found, each an *Error.
func Load(flags *pflag.FlagSet, environ []string) (Config, error) {
	env := environment(environ)
	var layers []*layer
	if path := filePath(flags, env); path != "" {
		layers = append(layers, fileLayer(path))
	}
	layers = append(layers, envLayer(env), setLayer(flags), flagLayer(flags))

	merged := koanf.New(delimiter)
	var faults []error
	for _, l := range layers {
		faults = append(faults, l.faults...)
		if err := merged.Load(confmap.Provider(l.values, ""), nil); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", l.source, err))
		}
	}
	c := Default()
	for i := range keys {
		k := &keys[i]
		if v := merged.Get(k.Name); v != nil {
			k.assign(&c, typed(k, v))
		}
	}
	if len(faults) > 0 {
		return Config{}, errors.Join(faults...)
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// typed gives a rate map the type it had before koanf merged the layers' maps pattern by pattern.
func typed(k *Key, v any) any {
	if k.kind != kindRates {
		return v
	}
	rates := make(map[string]int64)
	for pattern, n := range v.(map[string]any) {
		rates[pattern] = n.(int64)
	}
	return rates
}

// put stores a parsed value under its key.
func (l *layer) put(k *Key, v any) {
	if rates, ok := v.(map[string]int64); ok {
		m := make(map[string]any, len(rates))
		for pattern, n := range rates {
			m[pattern] = n
		}
		// Patterns may come one by one (--set); koanf merges maps of different layers,
		// this merges them within one.
		if old, ok := l.values[k.Name].(map[string]any); ok {
			maps.Copy(old, m)
			return
		}
		l.values[k.Name] = m
		return
	}
	l.values[k.Name] = v
}

func (l *layer) fault(key string, value any, err error) {
	l.faults = append(l.faults,
		&Error{Key: key, Value: show(value), Source: l.source, Reason: err.Error()})
}

func newLayer(source string) *layer { return &layer{source: source, values: make(map[string]any)} }

// environment turns "NAME=value" lines into a map; of a name given twice the last one counts.
func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, line := range environ {
		if name, value, ok := strings.Cut(line, "="); ok {
			env[name] = value
		}
	}
	return env
}

// filePath returns the configuration file's path: --config, else CONFIG_PATH, else none.
func filePath(flags *pflag.FlagSet, env map[string]string) string {
	if flags != nil {
		if f := flags.Lookup(flagConfig); f != nil && f.Changed {
			return f.Value.String()
		}
	}
	return env[EnvConfigPath]
}

// fileLayer reads and checks the YAML (or JSON) file. Nested and dotted keys mean the same.
func fileLayer(path string) *layer {
	l := newLayer("file " + path)
	text, err := os.ReadFile(path)
	if err != nil {
		l.faults = append(l.faults, fmt.Errorf("configuration file: %w", err))
		return l
	}
	l.read(text)
	return l
}

// read takes the text of a file and reports whether it was YAML at all.
func (l *layer) read(text []byte) bool {
	file := koanf.New(delimiter)
	if err := file.Load(rawbytes.Provider(text), yaml.Parser()); err != nil {
		l.faults = append(l.faults, fmt.Errorf("%s: not a YAML map of keys: %w", l.source, err))
		return false
	}
	l.walk("", file.Raw())
	return true
}

// walk descends nested maps until a path is a key of the table.
func (l *layer) walk(prefix string, m map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		v, path := m[name], name
		if prefix != "" {
			path = prefix + "." + name
		}
		if k := keyByName[path]; k != nil {
			l.take(k, v)
			continue
		}
		if sub, ok := v.(map[string]any); ok && isPrefix(path) {
			l.walk(path, sub)
			continue
		}
		if isPrefix(path) {
			if v != nil { // a group with nothing in it says nothing
				l.fault(path, v, errors.New("must be a map: it is the beginning of several keys"))
			}
			continue
		}
		l.fault(path, v, unknownKey(path))
	}
}

// take parses one value of the file. An empty value leaves the default.
func (l *layer) take(k *Key, v any) {
	if v == nil {
		return
	}
	if _, twice := l.values[k.Name]; twice {
		l.fault(k.Name, v, errors.New("given twice: nested and dotted"))
		return
	}
	parsed, err := k.parseYAML(v)
	if err != nil {
		l.fault(k.Name, v, err)
		return
	}
	l.put(k, parsed)
}

// isPrefix reports whether some key begins with the path and goes on.
func isPrefix(path string) bool {
	return slices.ContainsFunc(keys, func(k Key) bool {
		return strings.HasPrefix(k.Name, path+".")
	})
}

// envLayer reads the environment. An empty variable counts as set for text only:
// there "" has a meaning.
func envLayer(env map[string]string) *layer {
	l := newLayer("environment")
	for i := range keys {
		k := &keys[i]
		text, ok := env[k.Env]
		if k.Env == "" || !ok || text == "" && k.kind != kindString {
			continue
		}
		v, err := k.parseText(text)
		if err != nil {
			l.source = "environment " + k.Env
			l.fault(k.Name, text, err)
			continue
		}
		l.put(k, v)
	}
	return l
}
