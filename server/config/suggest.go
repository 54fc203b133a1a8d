package config

import (
	"errors"
	"fmt"
	"strings"
)

// keysBelow returns the keys that begin with the path and go on.
func keysBelow(path string) (names []string) {
	for i := range keys {
		if strings.HasPrefix(keys[i].Name, path+".") {
			names = append(names, keys[i].Name)
		}
	}
	return names
}

// groupOf is the fault of a value for what only begins several keys.
func groupOf(names []string) error {
	const shown = 4
	list := strings.Join(names[:min(len(names), shown)], ", ")
	if len(names) > shown {
		list += ", …"
	}
	return errors.New("has no value of its own, it is the beginning of " + list)
}

// unknownKey is the fault of a key the table does not have, with the nearest one when there is a
// near one. groups says that the beginning of keys is as good: the file has those.
func unknownKey(name string, groups bool) error {
	if best := nearestKey(name, groups); best != "" {
		return fmt.Errorf("unknown key; did you mean %s?", best)
	}
	return errors.New("unknown key")
}

// nearestKey returns what of the table is nearest to a name, "" when nothing is near. An
// environment name stands for its key.
func nearestKey(name string, groups bool) string {
	var known []string
	for i := range keys {
		k := &keys[i]
		if k.Env != "" && strings.EqualFold(name, k.Env) {
			return k.Name
		}
		for at := range k.Name {
			if groups && k.Name[at] == '.' {
				known = append(known, k.Name[:at])
			}
		}
		known = append(known, k.Name)
	}
	return nearest(name, known)
}

// NearestFlag returns the flag, with its dashes, that an unknown one may be meant for: a key's own,
// or --set with the key. "" when nothing is near. name has no dashes.
func NearestFlag(name string) string {
	var known []string
	for i := range keys {
		if strings.EqualFold(name, keys[i].Name) {
			if keys[i].Flag != "" {
				return "--" + keys[i].Flag
			}
			return "--" + flagSet + " " + keys[i].Name + "=…"
		}
		if keys[i].Flag != "" {
			known = append(known, keys[i].Flag)
		}
	}
	if best := nearest(name, append(known, flagConfig, flagSet)); best != "" {
		return "--" + best
	}
	return ""
}

// nearest returns the known name with the smallest edit distance, ignoring case, or "" when none is
// within a third of the name's length (at least 2). The last part of a name is almost the name.
func nearest(name string, known []string) string {
	name = strings.ToLower(name)
	best, least := "", max(2, len(name)/3)+1
	for _, k := range known {
		lower := strings.ToLower(k)
		d := distance(name, lower)
		if d > 1 && lower[strings.LastIndexAny(lower, ".-")+1:] == name {
			d = 1
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
