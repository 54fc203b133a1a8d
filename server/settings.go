package server

import (
	"slices"
	"sync"
	"time"

	"mbserver/server/census"
	"mbserver/server/config"
)

// settings are the configuration as it is in force, and as it is shown. Any goroutine.
type settings struct {
	mu   sync.Mutex
	all  []census.Setting // guarded by mu, by the table; what is pointed to never changes
	read census.Reading   // guarded by mu
}

// changesKept is how many changes are remembered: the oldest give way.
const changesKept = 50

// settingBytes is how long a value may be that is shown.
const settingBytes = 64 << 10

// begin notes what a node starts with.
func (s *settings) begin(cfg *config.Config, from config.Origins) {
	byDefault := config.Default()
	keys := config.Keys()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range keys {
		k := &keys[i]
		s.all = append(s.all, census.Setting{
			Key: k.Name, Value: shownValue(k, cfg), Default: k.Text(&byDefault), Unit: k.Unit,
			Source: sourceOfKey(k, cfg, &byDefault, from), Env: k.Env, Flag: k.Flag,
			Meaning: k.Doc, Live: k.Live, Secret: k.Secret(), Roles: k.Grants(),
		})
		vain(&s.all[i], from[k.Name])
	}
}

// vain notes what the configuration file says of a key in vain.
func vain(of *census.Setting, from config.Origin) {
	of.File, of.Line = nil, ""
	if from.Line != "" && len(from.File) <= settingBytes {
		of.File, of.Line = &from.File, from.Line
	}
}

// renew notes what a reload has brought: of live keys what is in force, of the others what will be.
func (s *settings) renew(cfg *config.Config, from config.Origins) {
	byDefault := config.Default()
	keys := config.Keys()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read.At, s.read.Fault = time.Now().UnixMilli(), ""
	for i := range keys {
		k, shown := &keys[i], &s.all[i]
		value := shownValue(k, cfg)
		s.note(shown, value)
		vain(shown, from[k.Name])
		switch {
		case k.Live:
			shown.Value, shown.Source = value, sourceOfKey(k, cfg, &byDefault, from)
		case value != nil && shown.Value != nil && *value != *shown.Value:
			shown.Pending = value
		default:
			shown.Pending = nil
		}
	}
}

// note remembers that a key has another value than the reading before found. mu is held.
func (s *settings) note(of *census.Setting, to *string) {
	from := of.Value
	if of.Pending != nil {
		from = of.Pending
	}
	if from == nil || to == nil || *from == *to {
		return
	}
	r := &s.read
	if len(r.Changes) == changesKept {
		r.Changes = slices.Delete(r.Changes, 0, 1)
	}
	r.Changes = append(r.Changes, census.Change{
		At: r.At, Key: of.Key, From: *from, To: *to, Live: of.Live, Roles: of.Roles,
	})
}

// failed notes that what was read is not taken.
func (s *settings) failed(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read.At, s.read.Fault = time.Now().UnixMilli(), why
}

// reading is how it was read since the start.
func (s *settings) reading() census.Reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.read
	r.Changes = slices.Clone(r.Changes)
	return r
}

// shown is what there is to see.
func (s *settings) shown() []census.Setting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]census.Setting(nil), s.all...)
}

// shownValue is a key's value, nil when it is secret or too long.
func shownValue(k *config.Key, cfg *config.Config) *string {
	if k.Secret() {
		return nil
	}
	text := k.Text(cfg)
	if len(text) > settingBytes {
		return nil
	}
	return &text
}

// sourceOfKey is who has set a key.
func sourceOfKey(k *config.Key, cfg, byDefault *config.Config, from config.Origins) string {
	if source := from[k.Name].Source; source != "" {
		return source
	}
	if from == nil && !k.Secret() && k.Text(cfg) != k.Text(byDefault) {
		return census.SourceProgram
	}
	return census.SourceDefault
}
