// Package nearest finds the word that a misspelled one was meant to be.
package nearest

import "fmt"

// Hint is `, did you mean "x"?` for the candidate at the least distance from name, the
// first of them where several are; it is empty when none is near, which is when a third
// of name would have to change, or more.
func Hint(name string, candidates []string, distance func(name, candidate string) int) string {
	best, least := "", len(name)/3+1
	for _, c := range candidates {
		if d := distance(name, c); d < least {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// Edits is the Levenshtein distance in bytes.
func Edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
