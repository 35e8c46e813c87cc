package topology

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// longestName is AMQP's limit for names and routing keys, in bytes. The client
// closes the whole connection on a longer one (H 10.2).
const longestName = 255

// reserved starts the names of this project's own entities.
const reserved = "hareline."

// IsLadderQueue reports whether name is that of a ladder's queue: a level, or the
// unclaimed queue, of any version. Such a queue is no place a message comes from:
// skip it when looking for a letter's origin in x-death (R 13).
func IsLadderQueue(name string) bool {
	version, rest, _ := strings.Cut(strings.TrimPrefix(name, reserved+"v"), ".")
	_, rest, _ = strings.Cut(rest, ".") // the unit
	levels, rest, _ := strings.Cut(rest, ".")
	scope, last := splitLast(rest)
	return strings.HasPrefix(name, reserved) && isNumber(version) && isNumber(levels) &&
		scope != "" && last != "" && last != "due"
}

// ladderOf reads a name of a ladder of this version.
func ladderOf(name string) (l Ladder, ok bool) {
	prefix := fmt.Sprintf("%sv%d.%dms.", reserved, ladderVersion, ladderUnit.Milliseconds())
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return Ladder{}, false
	}
	levels, rest, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(levels)
	scope, last := splitLast(rest)
	if err != nil || n < 1 || n > ladderLevels || scope == "" || last == "" {
		return Ladder{}, false
	}
	return Ladder{Scope: scope, Levels: n}, true
}

// splitLast splits a ladder's name behind its scope, which may hold dots itself.
// Both parts are empty when it ends like none of a ladder's names.
func splitLast(rest string) (scope, last string) {
	i := strings.LastIndexByte(rest, '.')
	if i < 0 {
		return "", ""
	}
	scope, last = rest[:i], rest[i+1:]
	if last == "due" || last == "unclaimed" {
		return scope, last
	}
	if scope, ok := strings.CutSuffix(scope, ".level"); ok && isNumber(last) {
		return scope, "level." + last
	}
	return "", ""
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

// checkName reports what no broker would take as a name.
func checkName(r *report, entity, field, name string) {
	switch {
	case name == "":
		r.add(entity, field+" is empty", "name it: what the broker names cannot be declared twice")
	case len(name) > longestName:
		r.add(entity, fmt.Sprintf("%s makes a name of %d bytes, AMQP allows %d", field, len(name), longestName), "shorten it")
	case !utf8.ValidString(name):
		r.add(entity, field+" is not valid UTF-8", "use valid UTF-8")
	}
}
