package main

import (
	"fmt"
	"strings"
)

// didYouMean is what an error about an unknown word ends with: the word that was
// probably meant, or nothing.
func didYouMean(word string, known []string) string {
	if meant := nearest(word, known); meant != "" {
		return fmt.Sprintf("; did you mean %s?", meant)
	}
	return ""
}

// nearest returns the known word that the fewest typing errors lead to, not more
// than one in three letters, or one that begins with word; "" when there is none.
func nearest(word string, known []string) string {
	word = strings.ToLower(word)
	best, least := "", max(1, len(word)/3)+1
	part := "-" + strings.TrimLeft(word, "-")
	for _, k := range known {
		d := typos(word, strings.ToLower(k))
		if len(word) > 1 && strings.HasPrefix(strings.ToLower(k), word) ||
			len(part) > 2 && strings.HasSuffix(strings.ToLower(k), part) {
			d = 0
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// typos counts the letters to put in, leave out, replace or swap with the next
// to make b of a: the optimal string alignment distance.
func typos(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
