package server

import (
	"sync"

	"mbserver/server/census"
	"mbserver/server/config"
)

// settings are the configuration as it is in force, and as it is shown. Any goroutine.
type settings struct {
	mu  sync.Mutex
	all []census.Setting // guarded by mu, by the table; what is pointed to never changes
}

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
	}
}

// renew notes what a reload has brought: of live keys what is in force, of the others what will be.
func (s *settings) renew(cfg *config.Config, from config.Origins) {
	byDefault := config.Default()
	keys := config.Keys()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range keys {
		k, shown := &keys[i], &s.all[i]
		value := shownValue(k, cfg)
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
	if source := from[k.Name]; source != "" {
		return source
	}
	if from == nil && !k.Secret() && k.Text(cfg) != k.Text(byDefault) {
		return census.SourceProgram
	}
	return census.SourceDefault
}
