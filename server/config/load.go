package config

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// EnvConfigPath is the environment variable that names the file when --config is not given.
const EnvConfigPath = "CONFIG_PATH"

// Origins says where values came from, by key. Keys that nobody set have none.
type Origins map[string]Origin

// Origin is where a key's value came from.
type Origin struct {
	Source string // in words: "flag --ws-port", "environment WS_PORT", "file mb.yaml, line 3"

	// What the file says otherwise, in vain, as Key.Text writes it, and where; "": nothing.
	File, Line string
}

// Loader reads a configuration, as Load does, of what it knows.
type Loader func() (Config, Origins, error)

// setting is one parsed value and who said it.
type setting struct {
	value  any
	source string
}

// layer collects what one source says, and its faults.
type layer struct {
	settings map[string]setting // by key
	rates    map[string]setting // by pattern, of the one key that is a map
	faults   []error
}

func newLayer() *layer {
	return &layer{settings: make(map[string]setting), rates: make(map[string]setting)}
}

// put stores a parsed value under its key. Patterns of the map of rates may come one by one.
func (l *layer) put(k *Key, value any, source string) {
	rates, ok := value.(map[string]int64)
	if !ok {
		l.settings[k.Name] = setting{value, source}
		return
	}
	for pattern, n := range rates {
		l.rates[pattern] = setting{n, source}
	}
}

// text takes a value that is written as text: of the environment, or of a flag.
func (l *layer) text(k *Key, text, source string) {
	value, err := k.parseText(text)
	if err != nil {
		l.fault(k.Name, showOf(k.Name, text), source, err)
		return
	}
	l.put(k, value, source)
}

func (l *layer) fault(key, value, source string, err error) {
	l.faults = append(l.faults,
		&Error{Key: key, Value: value, Source: source, Reason: err.Error()})
}

// over puts what another layer says over what this one does: rates pattern by pattern.
func (l *layer) over(below *layer) {
	maps.Copy(below.settings, l.settings)
	maps.Copy(below.rates, l.rates)
	below.faults = append(below.faults, l.faults...)
}

// Load layers flags over environment over file over defaults, and validates the result. flags may
// be nil; of a set that RegisterFlags filled only what was given on the command line counts.
// environ has the form of os.Environ. The error joins every fault found, each an *Error.
func Load(flags *pflag.FlagSet, environ []string) (Config, Origins, error) {
	env := environment(environ)
	merged, file := newLayer(), newLayer()
	if path := filePath(flags, env); path != "" {
		file = fileLayer(path)
	}
	for _, l := range []*layer{file, envLayer(env), setLayer(flags), flagLayer(flags)} {
		l.over(merged)
	}
	if len(merged.faults) > 0 {
		return Config{}, nil, errors.Join(merged.faults...)
	}
	c, origins := merged.config()
	if err := c.Validate(); err != nil {
		return Config{}, nil, origins.explain(err)
	}
	origins.vain(file, &c)
	return c, origins, nil
}

// vain notes what the configuration file says in vain: other values than c has, which something
// else has set. Secrets are left out.
func (o Origins) vain(file *layer, c *Config) {
	alone := Default()
	for name, s := range file.settings {
		k, of := keyByName[name], o[name]
		if of.Source == s.source || k.Secret() {
			continue
		}
		k.assign(&alone, s.value)
		if text := k.Text(&alone); text != k.Text(c) {
			of.File, of.Line = text, s.source
			o[name] = of
		}
	}
}

// config is the defaults with what the layer says, and where that came from.
func (l *layer) config() (Config, Origins) {
	c, origins := Default(), make(Origins)
	for name, s := range l.settings {
		keyByName[name].assign(&c, s.value)
		origins[name] = Origin{Source: s.source}
	}
	if len(l.rates) > 0 {
		rates := make(map[string]int64, len(l.rates))
		var sources []string
		for pattern, s := range l.rates {
			rates[pattern] = s.value.(int64)
			sources = append(sources, s.source)
		}
		keyByName[ratesKey].assign(&c, rates)
		slices.Sort(sources)
		origins[ratesKey] = Origin{Source: strings.Join(slices.Compact(sources), "; ")}
	}
	return c, origins
}

// explain gives faults of what keys mean together their source, where they name a key that somebody
// has set.
func (o Origins) explain(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	for _, err := range joined.Unwrap() {
		var e *Error
		if errors.As(err, &e) && e.Source == "" {
			e.Source = o[e.Key].Source
		}
	}
	return err
}

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

// Path returns the path of the configuration file, "" when there is none. flags and environ are as
// for Load.
func Path(flags *pflag.FlagSet, environ []string) string {
	return filePath(flags, environment(environ))
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

// envLayer reads the environment. An empty variable counts as set for text only:
// there "" has a meaning.
func envLayer(env map[string]string) *layer {
	l := newLayer()
	for i := range keys {
		k := &keys[i]
		text, ok := env[k.Env]
		if k.Env != "" && ok && (text != "" || k.kind == kindString) {
			l.text(k, text, "environment "+k.Env)
		}
	}
	return l
}
