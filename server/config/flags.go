package config

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"
)

const (
	flagConfig = "config"
	flagSet    = "set"
)

// keyFlag is the value of a flag that stands for a key; it is parsed as soon as it is read, so that
// pflag names the flag.
type keyFlag struct {
	key  *Key
	text string
}

func (f *keyFlag) String() string { return f.text }

func (f *keyFlag) Set(s string) error {
	if _, err := f.key.parseText(s); err != nil {
		return err
	}
	f.text = s
	return nil
}

// Type is the placeholder in the usage text.
func (f *keyFlag) Type() string {
	switch f.key.kind {
	case kindInt:
		return "int"
	case kindBool:
		return "bool"
	}
	return "string"
}

// RegisterFlags adds --config, --set and the flags of the table.
func RegisterFlags(fs *pflag.FlagSet) {
	fs.String(flagConfig, "",
		"configuration `file` (YAML); else the one that "+EnvConfigPath+" names")
	fs.StringArray(flagSet, nil, "set any key, as in `key=value`; repeatable")
	for i := range keys {
		k := &keys[i]
		if k.Flag == "" {
			continue
		}
		f := fs.VarPF(&keyFlag{key: k, text: k.Default}, k.Flag, "", k.Doc)
		if k.kind == kindBool {
			f.NoOptDefVal = "true"
		}
	}
}

// flagLayer takes the flags that were given.
func flagLayer(flags *pflag.FlagSet) *layer {
	l := newLayer("flags")
	if flags == nil {
		return l
	}
	for i := range keys {
		k := &keys[i]
		if k.Flag == "" {
			continue
		}
		f := flags.Lookup(k.Flag)
		if f == nil || !f.Changed {
			continue
		}
		l.source = "flag --" + k.Flag
		v, err := k.parseText(f.Value.String())
		if err != nil {
			l.fault(k.Name, f.Value.String(), err)
			continue
		}
		l.put(k, v)
	}
	return l
}

// setLayer takes the --set flags in their order. A flag of its own wins over --set for the same
// key.
func setLayer(flags *pflag.FlagSet) *layer {
	l := newLayer("flag --" + flagSet)
	if flags == nil || flags.Lookup(flagSet) == nil {
		return l
	}
	pairs, err := flags.GetStringArray(flagSet)
	if err != nil {
		l.faults = append(l.faults, err)
		return l
	}
	for _, pair := range pairs {
		name, text, ok := strings.Cut(pair, "=")
		if !ok {
			l.fault(pair, "", errors.New("write it as key=value"))
			continue
		}
		l.set(strings.TrimSpace(name), text)
	}
	return l
}

// set takes one key=value. The map of rates may be given whole, or pattern by pattern with the
// pattern after the key.
func (l *layer) set(name, text string) {
	k := keyByName[name]
	if pattern, ok := strings.CutPrefix(name, ratesKey+"."); ok {
		k = keyByName[ratesKey]
		n, err := (&Key{kind: kindInt, min: k.min, max: k.max}).parseText(text)
		if err != nil {
			l.fault(name, text, err)
			return
		}
		v, err := k.parseRates(map[string]any{pattern: n})
		if err != nil {
			l.fault(name, text, err)
			return
		}
		l.put(k, v)
		return
	}
	if k == nil {
		l.fault(name, text, unknownKey(name))
		return
	}
	v, err := k.parseText(text)
	if err != nil {
		l.fault(name, text, err)
		return
	}
	l.put(k, v)
}
