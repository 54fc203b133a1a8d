package config

import (
	"errors"
	"fmt"
	"strings"
)

// unknownKey is the fault of a key the table does not have,
// with the nearest one when there is a near one.
func unknownKey(name string) error {
	if best := nearestKey(name); best != "" {
		return fmt.Errorf("unknown key; did you mean %s?", best)
	}
	return errors.New("unknown key")
}

// nearestKey returns the key with the smallest edit distance, ignoring case, or "" when none is
// within a third of the name's length (at least 2). An environment name stands for its key.
func nearestKey(name string) string {
	best, least := "", max(2, len(name)/3)+1
	for i := range keys {
		k := &keys[i]
		if k.Env != "" && strings.EqualFold(name, k.Env) {
			return k.Name
		}
		if d := distance(strings.ToLower(name), strings.ToLower(k.Name)); d < least {
			best, least = k.Name, d
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
