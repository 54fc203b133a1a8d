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

// keyFlag is the value of a flag that stands for a key. It is parsed by Load, which tells of all
// faults at once.
type keyFlag struct {
	key  *Key
	text string
}

func (f *keyFlag) String() string { return f.text }

func (f *keyFlag) Set(s string) error {
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
	l := newLayer()
	if flags == nil {
		return l
	}
	for i := range keys {
		k := &keys[i]
		if k.Flag == "" {
			continue
		}
		if f := flags.Lookup(k.Flag); f != nil && f.Changed {
			l.text(k, f.Value.String(), "flag --"+k.Flag)
		}
	}
	return l
}

const setSource = "flag --" + flagSet

// setLayer takes the --set flags in their order. A flag of its own wins over --set for the same
// key.
func setLayer(flags *pflag.FlagSet) *layer {
	l := newLayer()
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
			l.fault(pair, "", setSource, errors.New("write it as key=value"))
			continue
		}
		l.set(strings.TrimSpace(name), text)
	}
	return l
}

// set takes one key=value. The map of rates may be given whole, or pattern by pattern with the
// pattern after the key.
func (l *layer) set(name, text string) {
	if k := keyByName[name]; k != nil {
		l.text(k, text, setSource)
		return
	}
	pattern, ok := strings.CutPrefix(name, ratesKey+".")
	if !ok {
		err := unknownKey(name, false)
		if group := keysBelow(name); len(group) > 0 {
			err = groupOf(group)
		}
		l.fault(name, showOf(name, text), setSource, err)
		return
	}
	k, rates := keyByName[ratesKey], make(map[string]int64)
	n, err := wholeNumber(strings.TrimSpace(text))
	if err == nil {
		err = k.addRate(rates, pattern, n)
	}
	if err != nil {
		l.fault(name, show(text), setSource, err)
		return
	}
	l.put(k, rates, setSource)
}
