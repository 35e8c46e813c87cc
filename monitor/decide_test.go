package monitor

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// play runs the rounds that the letters stand for: b is bad, w well, - between, ? unknown.
// It writes R where the alarm is raised, C where it is cleared, . where nothing is told.
func play(rounds string, p policy) string {
	var ss states
	var out strings.Builder
	for i, c := range rounds {
		r := reading{subject: subject{kind: Pending, queue: "q"}, condition: conditionOf(c)}
		var told []Alarm
		ss, told = ss.next([]reading{r}, p, start.Add(time.Duration(i)*time.Minute))
		switch {
		case len(told) == 0:
			out.WriteByte('.')
		case told[0].Raised:
			out.WriteByte('R')
		default:
			out.WriteByte('C')
		}
	}
	return out.String()
}

func conditionOf(c rune) condition {
	return map[rune]condition{'b': bad, 'w': well, '-': between, '?': unknown}[c]
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		raise, clear int
		rounds, want string
	}{
		{1, 1, "wbbw", ".R.C"},
		{2, 2, "bbww", ".R.C"},
		{2, 2, "bwbwbw", "......"},     // noise
		{2, 2, "bbwbwbww", ".R.....C"}, // noise while it stands
		{2, 2, "b-b-bb", ".....R"},     // the band ends a row
		{2, 2, "bbw-w-ww", ".R.....C"},
		{1, 1, "b----w", "R....C"},
		{2, 2, "b?b", "..R"},           // what was not seen is not well
		{2, 2, "bbw?w?ww", ".R.....C"}, // and does not help to clear
		{1, 1, "????", "...."},
		{3, 1, "bbwbbbbw", ".....R.C"},
		{1, 3, "bwwbwwwb", "R.....CR"},
	} {
		if got := play(c.rounds, policy{c.raise, c.clear}); got != c.want {
			t.Errorf("%d/%d %s: %s, want %s", c.raise, c.clear, c.rounds, got, c.want)
		}
	}
}

func TestSinceIsWhenItWasFirstSeen(t *testing.T) {
	ss := states{}
	var told []Alarm
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	for i, c := range "bwbbbww" {
		r := reading{subject: subject{kind: Pending, queue: "q"}, condition: conditionOf(c), value: float64(i), limit: 7, text: string(c)}
		var now []Alarm
		ss, now = ss.next([]reading{r}, policy{2, 2}, minute(i))
		told = append(told, now...)
	}
	want := []Alarm{
		{Kind: Pending, Queue: "q", Severity: Warning, Raised: true, Since: minute(2), At: minute(3), Value: 3, Limit: 7, Text: "b"},
		{Kind: Pending, Queue: "q", Severity: Warning, Raised: false, Since: minute(2), At: minute(6), Value: 6, Limit: 7, Text: "w"},
	}
	if !reflect.DeepEqual(told, want) {
		t.Errorf("got %+v, want %+v", told, want)
	}
}

// What is hidden is not cleared, until it can be seen again.
func TestNothingIsClearedUnseen(t *testing.T) {
	at := func(k Kind, queue string, c rune) reading {
		return reading{subject: subject{kind: k, queue: queue}, condition: conditionOf(c)}
	}
	for _, hiding := range []struct {
		kind    Kind
		queue   string
		cleared bool // while it stands
	}{
		{APIUnavailable, "", false}, {APISlow, "", false}, {APIUnauthorised, "", false}, {APINonsense, "", false},
		{QueueMissing, "q", false}, {NumbersMissing, "q", false}, {QuorumLost, "q", false},
		{QueueMissing, "other", true}, {MemoryAlarm, "", true}, {NoConsumers, "q", true},
	} {
		p := policy{1, 1}
		ss, _ := states{}.next([]reading{at(hiding.kind, hiding.queue, 'b'), at(Pending, "q", 'b')}, p, start)
		ss, told := ss.next([]reading{at(Pending, "q", 'w'), at(hiding.kind, hiding.queue, '-')}, p, start)
		if (len(told) > 0) != hiding.cleared {
			t.Errorf("%s of %q stands: told %v", hiding.kind, hiding.queue, told)
		}
		ss, told = ss.next([]reading{at(Pending, "q", 'w'), at(hiding.kind, hiding.queue, 'w')}, p, start)
		if len(ss.standing()) > 0 || len(told) == 0 {
			t.Errorf("%s of %q is well again: told %v, standing %v", hiding.kind, hiding.queue, told, ss.standing())
		}
	}
}

// An outage that changes its face at each round is told of, and cleared when it is over.
func TestChangingFailureIsRaised(t *testing.T) {
	ss, p := states{}, policy{2, 2}
	var told []Alarm
	for i, kind := range []Kind{APISlow, APIUnavailable, APISlow, APIUnavailable, "", ""} {
		var rs []reading
		for _, k := range []Kind{APISlow, APIUnavailable} {
			r := reading{subject: subject{kind: k}}
			switch kind {
			case k:
				r.condition = bad
			case "":
				r.condition = well
			}
			rs = append(rs, r)
		}
		var now []Alarm
		ss, now = ss.next(rs, p, start.Add(time.Duration(i)*time.Minute))
		told = append(told, now...)
	}
	if len(told) != 4 || !told[0].Raised || told[0].Kind != APISlow || !told[1].Raised || told[2].Raised || told[3].Raised {
		t.Errorf("told %+v", told)
	}
}

// kinds that rapid plays with: of the API, of a queue, one that hides, one of a ladder.
var somes = []subject{
	{kind: APISlow}, {kind: APINonsense}, {kind: MemoryAlarm}, {kind: LadderStuck, ladder: "l"},
	{kind: Pending, queue: "a"}, {kind: Pending, queue: "b"}, {kind: QueueMissing, queue: "a"},
	{kind: QueueMissing, ladder: "l"}, {kind: Unclaimed, queue: "l.u", ladder: "l"}, {kind: NumbersMissing, queue: "b"}, {kind: NoConsumers, queue: "b"},
}

func TestDecideProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy{rapid.IntRange(1, 3).Draw(t, "raise"), rapid.IntRange(1, 3).Draw(t, "clear")}
		rounds := rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom([]condition{unknown, well, between, bad}), len(somes), len(somes)), 1, 40).Draw(t, "rounds")
		shuffle := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed")))
		var ss states
		stands := map[subject]bool{}
		badRow, wellRow := map[subject]int{}, map[subject]int{}
		for i, conditions := range rounds {
			at := start.Add(time.Duration(i) * time.Minute)
			var rs []reading
			for j, c := range conditions {
				rs = append(rs, reading{subject: somes[j], condition: c})
				count(badRow, wellRow, somes[j], c)
			}
			before := maps.Clone(ss)
			after, told := ss.next(rs, p, at)
			if !reflect.DeepEqual(before, ss) {
				t.Fatal("next changed what it was given")
			}
			shuffle.Shuffle(len(rs), func(i, j int) { rs[i], rs[j] = rs[j], rs[i] })
			if again, toldAgain := ss.next(rs, p, at); !reflect.DeepEqual(again, after) || !reflect.DeepEqual(toldAgain, told) {
				t.Fatalf("another order of queues: %v, and %v", toldAgain, told)
			}
			ss = after
			for _, a := range told {
				s := a.subject()
				switch {
				case stands[s] == a.Raised:
					t.Fatalf("round %d: %v told as raised %v, twice", i, s, a.Raised)
				case a.Raised && badRow[s] < p.raiseAfter:
					t.Fatalf("round %d: %v raised after %d", i, s, badRow[s])
				case !a.Raised && wellRow[s] < p.clearAfter:
					t.Fatalf("round %d: %v cleared after %d", i, s, wellRow[s])
				case !a.Raised && ss.hides(s):
					t.Fatalf("round %d: %v cleared unseen", i, s)
				}
				stands[s] = a.Raised
			}
			for s := range badRow { // nothing is forgotten, either
				if badRow[s] >= p.raiseAfter && !stands[s] {
					t.Fatalf("round %d: %v is not raised after %d", i, s, badRow[s])
				}
			}
			for _, a := range ss.standing() {
				if !stands[a.subject()] {
					t.Fatalf("%v stands, and was not told of", a)
				}
			}
		}
	})
}

// count keeps the rows by the words of the documentation.
func count(badRow, wellRow map[subject]int, s subject, c condition) {
	switch c {
	case bad:
		badRow[s]++
		wellRow[s] = 0
	case well:
		wellRow[s]++
		badRow[s] = 0
	case between:
		badRow[s], wellRow[s] = 0, 0
	default:
		wellRow[s] = 0
	}
}

// A number that stays in the band between the two levels, whatever it does there, neither
// raises nor clears; and one that swings over both every round does not, either, with more
// than one round in a row asked for.
func TestNoFlapping(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := float64(rapid.IntRange(1, 10_000).Draw(t, "limit"))
		clearAt := rapid.Float64Range(0.1, 1).Draw(t, "clear")
		raised := rapid.Bool().Draw(t, "raised")
		s := subject{kind: Pending, queue: "q"}
		ss := states{s: {alarm: Alarm{Kind: Pending, Queue: "q", Raised: raised}}}
		inBand := rapid.Float64Range(limit*clearAt, limit)
		for i := range 30 {
			v := inBand.Draw(t, "value")
			if v <= limit*clearAt {
				continue
			}
			r := above(known(v), limit, clearAt)
			r.subject = s
			var told []Alarm
			if ss, told = ss.next([]reading{r}, policy{1, 1}, start.Add(time.Duration(i)*time.Minute)); len(told) > 0 {
				t.Fatalf("told %v at %v of %v", told, v, limit)
			}
		}
	})
	if got := play(strings.Repeat("bw", 20), policy{2, 2}); strings.ContainsAny(got, "RC") {
		t.Error(got)
	}
}

func TestStandingIsSorted(t *testing.T) {
	var rs []reading
	for i := range 20 {
		rs = append(rs, reading{subject: subject{kind: Pending, queue: fmt.Sprint("q", 19-i)}, condition: bad})
	}
	ss, told := states{}.next(rs, policy{1, 1}, start)
	if !slices.IsSortedFunc(told, func(a, b Alarm) int { return strings.Compare(a.Queue, b.Queue) }) || !reflect.DeepEqual(told, ss.standing()) {
		t.Errorf("told %v, standing %v", told, ss.standing())
	}
}

// The queues of a ladder are told of as one, which hides what is told of each.
func TestLadderHides(t *testing.T) {
	p, gone := policy{1, 1}, subject{kind: QueueMissing, ladder: "l"}
	for _, s := range []subject{{kind: Unclaimed, queue: "l.unclaimed", ladder: "l"}, {kind: LadderStuck, ladder: "l"}, {kind: LadderStuck, ladder: "other"}} {
		ss, _ := states{}.next([]reading{{subject: gone, condition: bad}, {subject: s, condition: bad}}, p, start)
		_, told := ss.next([]reading{{subject: gone, condition: between}, {subject: s, condition: well}}, p, start)
		if (len(told) > 0) != (s.ladder == "other") {
			t.Errorf("%v: told %v", s, told)
		}
	}
}
