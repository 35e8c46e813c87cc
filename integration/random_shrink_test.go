package integration

import (
	"slices"
	"strings"
)

// shrink makes a script shorter as long as fails is true of it. It leaves out steps together with what waits for them.
func shrink(text string, fails func(text string) bool) string {
	units := unitsOf(text)
	for size := max(1, len(units)/2); size > 0; size /= 2 {
		for start := 0; start < len(units); {
			fewer := slices.Delete(slices.Clone(units), start, min(start+size, len(units)))
			if fails(strings.Join(fewer, "")) {
				units = fewer
			} else {
				start += size
			}
		}
	}
	return strings.Join(units, "")
}

// unitsOf splits a script into steps, each with the waits after it.
func unitsOf(text string) []string {
	var units []string
	for line := range strings.Lines(text) {
		waits := line == "settle\n" || strings.HasPrefix(line, "wait ")
		if waits && len(units) > 0 {
			units[len(units)-1] += line
		} else {
			units = append(units, line)
		}
	}
	return units
}
