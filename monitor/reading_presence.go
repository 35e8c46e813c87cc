package monitor

import (
	"fmt"
	"strings"
	"time"
)

// countedBy is the time after which a queue must have been counted: it is three times as
// long as from one count to the next.
const countedBy = 15 * time.Second

// presence tells whether the queue is there, counted, and whole.
func presence(at time.Time, r QueueReport) []reading {
	name := fmt.Sprintf("queue %q", r.Queue)
	missing, withheld := reading{}, reading{}
	if r.Err == nil {
		missing = fact(r.Missing)
	}
	if r.Err == nil && !r.Missing && (r.UncountedSince.IsZero() || at.Sub(r.UncountedSince) >= countedBy) {
		withheld = fact(!r.UncountedSince.IsZero())
	}
	text := name + " is there"
	if r.Missing {
		text = name + " is not there"
	}
	all := []reading{missing.of(subject{kind: QueueMissing, queue: r.Queue}, text, missingRemedy)}
	text = name + " is counted"
	if withheld.condition == bad {
		text = name + " is there, but the management API tells no numbers of it"
	}
	return append(append(all, withheld.of(subject{kind: NumbersMissing, queue: r.Queue}, text, withheldRemedy)), replicas(r)...)
}

// What to do.
const (
	missingRemedy  = "declare it; was it deleted, did it expire, or is Management.VHost another than that of the link?"
	withheldRemedy = "its node is down, or statistics are off on the broker (management_agent.disable_metrics_collector, management.disable_stats)"
	membersRemedy  = "start the node that is down: one more may be the majority"
	lostRemedy     = "it takes and gives nothing, and its numbers are old: start nodes that are down"
)

// replicas tells which of a queue's members are up. They are known while its numbers are
// not, and a queue that has none, a classic one, is well.
func replicas(r QueueReport) []reading {
	some, lost := reading{}, reading{}
	off, members := r.Members.Value-r.Online.Value, r.Members.Value
	switch {
	case r.Err != nil || r.Missing:
	case r.Type == "classic":
		some, lost = fact(false), fact(false)
	case r.Members.Known:
		some, lost = fact(off > 0), fact(r.Online.Value*2 <= members || r.State == "minority")
	}
	if r.Members.Known {
		some.value, some.limit = r.Online.Value, members
		lost.value, lost.limit = r.Online.Value, float64(int(members)/2+1)
	}
	text := fmt.Sprintf("queue %q has %v of %v replicas online", r.Queue, r.Online, r.Members)
	return []reading{
		some.of(subject{kind: QuorumMembers, queue: r.Queue}, text, membersRemedy),
		lost.of(subject{kind: QuorumLost, queue: r.Queue}, text, lostRemedy),
	}
}

// presenceOfLadder is the presence of all queues of a ladder in one: a node that is down
// would otherwise be told of as often as the ladder has queues. It is bad where that of
// any queue is, and else unknown where that of any queue is; its value counts the bad ones.
func presenceOfLadder(at time.Time, r LadderReport) []reading {
	words := map[Kind][2]string{
		QueueMissing:   {"not there", missingRemedy},
		NumbersMissing: {"not counted", withheldRemedy},
		QuorumMembers:  {"without all replicas", membersRemedy},
		QuorumLost:     {"without a majority of replicas", lostRemedy},
	}
	seen, failing := map[Kind]condition{}, map[Kind][]string{}
	for i, q := range r.Queues {
		for _, one := range presence(at, q) {
			k := one.kind
			switch {
			case one.condition == bad:
				seen[k] = bad
				failing[k] = append(failing[k], q.Queue)
			case i == 0 || one.condition == unknown && seen[k] != bad:
				seen[k] = one.condition
			}
		}
	}
	var all []reading
	for kind, w := range words {
		one := reading{condition: seen[kind], value: float64(len(failing[kind]))}
		text := fmt.Sprintf("ladder %q has no queue that is %s", r.Ladder, w[0])
		if names := failing[kind]; len(names) > 0 {
			text = fmt.Sprintf("ladder %q has queues that are %s: %s", r.Ladder, w[0], few(names))
		}
		all = append(all, one.of(subject{kind: kind, ladder: r.Ladder}, text, w[1]))
	}
	return all
}

// few is a list that does not get long.
func few(names []string) string {
	const shown = 3
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
