package dlq

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// maxGroups bounds what Groups holds: errors that all differ make as many groups
// as there are letters.
const maxGroups = 1000

// Group is the letters that failed for what looks like one cause.
type Group struct {
	Fingerprint string    // what they share: see [Letter.Fingerprint]
	Class       string    // ErrorClass of the first one
	Text        string    // LastError of the first one, or its Reason where there is none; at most 2 KiB
	LetterID    string    // the ID of the first one
	Count       int       // letters
	First, Last time.Time // the earliest and latest DeadAt; zero when none is known
}

// Groups counts the letters that selected says true of (nil means all) by their
// fingerprint, the largest group first. It holds the first 1000 groups that it
// meets; rest is how many letters are in none of these. Beside an error it
// returns what it counted until then.
func (q *Queue) Groups(ctx context.Context, selected func(Letter) bool) (groups []Group, rest int, err error) {
	found := map[string]*Group{}
	err = q.Look(ctx, func(l Letter) error {
		if selected != nil && !selected(l) {
			return nil
		}
		key := l.Fingerprint()
		g := found[key]
		if g == nil {
			if len(found) == maxGroups {
				rest++
				return nil
			}
			// Clones, for the whole header table would stay with a part of it.
			g = &Group{Fingerprint: key, Class: strings.Clone(cut(l.ErrorClass, maxText)), Text: strings.Clone(cut(cmp.Or(l.LastError, l.Reason), maxText)), LetterID: l.ID}
			found[key] = g
		}
		g.add(l.DeadAt)
		return nil
	})
	for _, g := range found {
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), a.First.Compare(b.First), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return groups, rest, err
}

func (g *Group) add(died time.Time) {
	g.Count++
	if died.IsZero() {
		return
	}
	if g.First.IsZero() || died.Before(g.First) {
		g.First = died
	}
	if died.After(g.Last) {
		g.Last = died
	}
}
