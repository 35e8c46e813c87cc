package monitor

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hareline/hareline/internal/management"
)

var healthy = QueueReport{
	Queue: "q", Type: "quorum", State: "running", Messages: known(5), Ready: known(4), Unacked: known(1), Held: known(0), Consumers: known(1),
	PublishRate: known(1), ConsumeRate: known(1), Growth: known(0), Members: known(3), Online: known(3),
}

func conditions(rs []reading) map[Kind]condition {
	all := map[Kind]condition{}
	for _, r := range rs {
		all[r.kind] = r.condition
	}
	return all
}

// One row a threshold: both sides of it, both sides of the band, and unknown.
func TestQueueReadings(t *testing.T) {
	c := Config{}.withDefaults()
	work, dead := Queue{Name: "q"}.withDefaults(), Queue{Name: "q", DeadLetterQueue: true}.withDefaults()
	set := func(change func(*QueueReport)) QueueReport {
		r := healthy
		change(&r)
		return r
	}
	messages := func(n float64) QueueReport { return set(func(r *QueueReport) { r.Messages = known(n) }) }
	rates := func(publish, consume, messages float64) QueueReport {
		return set(func(r *QueueReport) {
			r.PublishRate, r.ConsumeRate, r.Messages = known(publish), known(consume), known(messages)
		})
	}
	for name, row := range map[string]struct {
		of   Queue
		r    QueueReport
		kind Kind
		want condition
	}{
		"pending: the limit itself":      {work, messages(1000), Pending, between},
		"pending: above":                 {work, messages(1001), Pending, bad},
		"pending: in the band":           {work, messages(801), Pending, between},
		"pending: well":                  {work, messages(800), Pending, well},
		"pending: unknown":               {work, set(func(r *QueueReport) { r.Messages = Number{} }), Pending, unknown},
		"pending: of a stream":           {work, set(func(r *QueueReport) { r.Type, r.Messages = "stream", known(1e6) }), Pending, unknown},
		"consumers: none":                {work, set(func(r *QueueReport) { r.Consumers = known(0) }), NoConsumers, bad},
		"consumers: one":                 {work, healthy, NoConsumers, well},
		"consumers: unknown":             {work, set(func(r *QueueReport) { r.Consumers = Number{} }), NoConsumers, unknown},
		"consumers: fewer than needed":   {Queue{Name: "q", MinConsumers: 2}.withDefaults(), healthy, NoConsumers, bad},
		"backing up":                     {work, rates(2.1, 1, 10), BackingUp, bad},
		"backing up: twice":              {work, rates(2, 1, 10), BackingUp, between},
		"backing up: in the band":        {work, rates(1.7, 1, 10), BackingUp, between},
		"backing up: well":               {work, rates(1.6, 1, 10), BackingUp, well},
		"backing up: nothing comes":      {work, rates(0, 0, 1e6), BackingUp, well},
		"backing up: nothing goes":       {work, rates(0.1, 0, 10), BackingUp, bad},
		"backing up: noise":              {work, rates(0.1, 0, 8), BackingUp, well},
		"backing up: hardly anything":    {work, rates(0.1, 0, 9), BackingUp, between},
		"backing up: without a floor":    {Queue{Name: "q", Backlog: -1}.withDefaults(), rates(0.1, 0, 0), BackingUp, bad},
		"backing up: unknown":            {work, set(func(r *QueueReport) { r.PublishRate, r.ConsumeRate, r.Messages = Number{}, Number{}, known(50) }), BackingUp, unknown},
		"backing up: unknown, and empty": {work, set(func(r *QueueReport) { r.PublishRate, r.ConsumeRate, r.Messages = Number{}, Number{}, known(0) }), BackingUp, well},
		"unacked":                        {work, set(func(r *QueueReport) { r.Unacked = known(5001) }), Unacked, bad},
		"unacked: well":                  {work, set(func(r *QueueReport) { r.Unacked = known(4000) }), Unacked, well},
		"oldest":                         {work, set(func(r *QueueReport) { r.OldestMessage = known(601) }), OldestMessage, bad},
		"oldest: in the band":            {work, set(func(r *QueueReport) { r.OldestMessage = known(481) }), OldestMessage, between},
		"oldest: well":                   {work, set(func(r *QueueReport) { r.OldestMessage = known(480) }), OldestMessage, well},
		"oldest: of a quorum queue":      {work, healthy, OldestMessage, unknown},
		"letters: one":                   {dead, messages(1), DeadLetters, bad},
		"letters: none":                  {dead, messages(0), DeadLetters, well},
		"growing":                        {dead, set(func(r *QueueReport) { r.Growth = known(1) }), DeadLettersGrowing, bad},
		"growing: not":                   {dead, healthy, DeadLettersGrowing, well},
		"growing: less":                  {dead, set(func(r *QueueReport) { r.Growth = known(-4) }), DeadLettersGrowing, well},
		"growing: first round":           {dead, set(func(r *QueueReport) { r.Growth = Number{} }), DeadLettersGrowing, unknown},
		"missing":                        {work, QueueReport{Queue: "q", Missing: true}, QueueMissing, bad},
		"missing: there":                 {work, healthy, QueueMissing, well},
		"missing: not read":              {work, QueueReport{Queue: "q", Err: errors.New("x")}, QueueMissing, unknown},
		"numbers":                        {work, QueueReport{Queue: "q", Type: "classic", UncountedSince: start.Add(45 * time.Second)}, NumbersMissing, bad},
		"numbers: a new queue":           {work, QueueReport{Queue: "q", Type: "classic", UncountedSince: start.Add(46 * time.Second)}, NumbersMissing, unknown},
		"numbers: there":                 {work, healthy, NumbersMissing, well},
		"numbers: of a missing queue":    {work, QueueReport{Queue: "q", Missing: true}, NumbersMissing, unknown},
		"replicas: one down":             {work, set(func(r *QueueReport) { r.Online = known(2) }), QuorumMembers, bad},
		"replicas: the majority up":      {work, set(func(r *QueueReport) { r.Online = known(2) }), QuorumLost, well},
		"replicas: half up":              {work, set(func(r *QueueReport) { r.Members, r.Online = known(4), known(2) }), QuorumLost, bad},
		"replicas: one of three up":      {work, set(func(r *QueueReport) { r.Online = known(1) }), QuorumLost, bad},
		"replicas: by the state":         {work, set(func(r *QueueReport) { r.State = "minority" }), QuorumLost, bad},
		"replicas: all up":               {work, healthy, QuorumMembers, well},
		"replicas: of a classic queue":   {work, set(func(r *QueueReport) { r.Type, r.Members, r.Online = "classic", Number{}, Number{} }), QuorumLost, well},
		"replicas: unknown":              {work, set(func(r *QueueReport) { r.Members, r.Online = Number{}, Number{} }), QuorumLost, unknown},
	} {
		t.Run(name, func(t *testing.T) {
			all := c.queueReadings(row.of, row.r, start.Add(time.Minute))
			got, there := conditions(all)[row.kind]
			if !there || got != row.want {
				t.Errorf("%v (there: %v), want %v", got, there, row.want)
			}
			for _, r := range all {
				if r.queue != "q" || !strings.Contains(r.text, `"q"`) || strings.Contains(r.text, "%!") {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// What is negative is off; a dead-letter queue is no work queue.
func TestThresholdsOff(t *testing.T) {
	c := Config{LadderMessages: -1, LadderHeld: -1}.withDefaults()
	for kinds, q := range map[string]Queue{
		"": {Pending: -1, MinConsumers: -1, BackingUp: -1, Unacked: -1, OldestMessage: -1},
		"pending no-consumers backing-up unacked oldest-message": {},
		"dead-letters dead-letters-growing":                      {DeadLetterQueue: true},
		"pending dead-letters-growing":                           {DeadLetterQueue: true, Pending: 7, Letters: -1},
	} {
		q.Name = "q"
		got := conditions(c.queueReadings(q.withDefaults(), healthy, start))
		for _, always := range []Kind{QueueMissing, NumbersMissing, QuorumMembers, QuorumLost} {
			if _, there := got[always]; !there {
				t.Errorf("%q: no %s", kinds, always)
			}
			delete(got, always)
		}
		for _, k := range strings.Fields(kinds) {
			if _, there := got[Kind(k)]; !there {
				t.Errorf("%q: no %s", kinds, k)
			}
			delete(got, Kind(k))
		}
		if len(got) > 0 {
			t.Errorf("%q: also %v", kinds, got)
		}
	}
	ladder := conditions(c.ladderReadings(LadderReport{Ladder: "l", Queues: []QueueReport{healthy}}, start))
	if _, there := ladder[LadderStuck]; there || len(ladder) != 5 {
		t.Errorf("%v", ladder)
	}
}

func TestLadderReadings(t *testing.T) {
	c := Config{}.withDefaults()
	for name, row := range map[string]struct {
		r    LadderReport
		kind Kind
		want condition
	}{
		"many":               {LadderReport{Messages: known(10_001)}, LadderMessages, bad},
		"few":                {LadderReport{Messages: known(8000)}, LadderMessages, well},
		"not all known":      {LadderReport{}, LadderMessages, unknown},
		"one held":           {LadderReport{Held: known(1), EnterRate: known(0)}, LadderStuck, bad},
		"none held":          {LadderReport{Held: known(0)}, LadderStuck, well},
		"on their way":       {LadderReport{Held: known(40), EnterRate: known(500)}, LadderStuck, well},
		"more than that":     {LadderReport{Held: known(501), EnterRate: known(500)}, LadderStuck, bad},
		"who knows":          {LadderReport{Held: known(1)}, LadderStuck, unknown},
		"unclaimed":          {LadderReport{Unclaimed: known(1)}, Unclaimed, bad},
		"none unclaimed":     {LadderReport{Unclaimed: known(0)}, Unclaimed, well},
		"unclaimed, unknown": {LadderReport{}, Unclaimed, unknown},
	} {
		if got := conditions(c.ladderReadings(row.r, start))[row.kind]; got != row.want {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
}

// The queues of a ladder are told of as one.
func TestLadderPresence(t *testing.T) {
	c := Config{}.withDefaults()
	missing := QueueReport{Queue: "gone", Missing: true}
	half, unread := healthy, QueueReport{Queue: "x", Err: errors.New("x")}
	half.Online = known(1)
	for name, row := range map[string]struct {
		queues []QueueReport
		want   map[Kind]condition
	}{
		"all well":         {[]QueueReport{healthy, healthy}, map[Kind]condition{QueueMissing: well, NumbersMissing: well, QuorumMembers: well, QuorumLost: well}},
		"the first gone":   {[]QueueReport{missing, healthy}, map[Kind]condition{QueueMissing: bad, NumbersMissing: unknown, QuorumMembers: unknown, QuorumLost: unknown}},
		"the last gone":    {[]QueueReport{healthy, missing}, map[Kind]condition{QueueMissing: bad, NumbersMissing: unknown, QuorumMembers: unknown, QuorumLost: unknown}},
		"one unread":       {[]QueueReport{healthy, unread, healthy}, map[Kind]condition{QueueMissing: unknown, NumbersMissing: unknown, QuorumMembers: unknown, QuorumLost: unknown}},
		"gone and unread":  {[]QueueReport{missing, unread}, map[Kind]condition{QueueMissing: bad, NumbersMissing: unknown, QuorumMembers: unknown, QuorumLost: unknown}},
		"without majority": {[]QueueReport{half, healthy, half}, map[Kind]condition{QueueMissing: well, NumbersMissing: well, QuorumMembers: bad, QuorumLost: bad}},
	} {
		all := c.ladderReadings(LadderReport{Ladder: "l", Queues: row.queues}, start)
		got := conditions(all)
		for k, want := range row.want {
			if got[k] != want {
				t.Errorf("%s: %s is %v, want %v", name, k, got[k], want)
			}
		}
		for _, r := range all {
			if r.ladder != "l" || r.kind == QueueMissing && r.condition == bad && (r.value != 1 || !strings.Contains(r.text, "gone")) {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
}

func TestNodeReadings(t *testing.T) {
	r := Report{NodeAlarms: []NodeAlarm{{"a", "memory"}, {"b", "file_descriptor_limit"}}}
	got := conditions(r.nodeReadings())
	if got[MemoryAlarm] != bad || got[DiskAlarm] != well || got[ResourceAlarm] != bad || len(got) != 3 {
		t.Errorf("%v", got)
	}
	r = Report{NodeAlarmsErr: errors.New("x")}
	for k, c := range conditions(r.nodeReadings()) {
		if c != unknown {
			t.Errorf("%s: %v", k, c)
		}
	}
}

// Of an API that fails in one way it is not known whether it would fail in the others.
func TestAPIReadings(t *testing.T) {
	kinds := map[management.Kind]Kind{
		management.Unreachable: APIUnavailable, management.Broken: APIUnavailable, management.Slow: APISlow,
		management.Refused: APIUnauthorised, management.Nonsense: APINonsense,
	}
	for failure, kind := range kinds {
		for where, l := range map[string]look{
			"alarms":  {alarmsErr: &management.Error{Kind: failure, Err: errors.New("x")}},
			"a queue": {queues: []answer{{found: true}, {err: &management.Error{Kind: failure, Err: errors.New("x")}}}},
		} {
			for k, c := range conditions(l.apiReadings(Config{})) {
				if want := map[bool]condition{true: bad, false: unknown}[k == kind]; c != want {
					t.Errorf("%s fails by %d: %s is %v, want %v", where, failure, k, c, want)
				}
			}
		}
	}
	for k, c := range conditions(look{}.apiReadings(Config{})) {
		if c != well {
			t.Errorf("%s is %v", k, c)
		}
	}
}

// Seen on a cluster of 4.0: of a classic queue whose node is down there are no numbers, and
// the state "running"; a quorum queue without majority keeps its last numbers.
func TestDeadNodes(t *testing.T) {
	c := Config{}.withDefaults()
	q := Queue{Name: "q"}.withDefaults()
	classic := answer{found: true, queue: management.Queue{Name: "q", Type: "classic", State: "running"}}
	h, now := history{}, start
	see := func(a answer) map[Kind]condition {
		r := a.report(target{Queue: q}, now)
		h.fill(&r, a, true, now)
		return conditions(c.queueReadings(q, r, now))
	}
	see(classic)
	now = now.Add(time.Minute)
	got := see(classic)
	if got[NumbersMissing] != bad || got[Pending] != unknown || got[NoConsumers] != unknown {
		t.Errorf("classic: %v", got)
	}
	three := management.Names{Known: true, List: []string{"a", "b", "c"}}
	quorum := answer{found: true, queue: management.Queue{
		Name: "q", Type: "quorum", State: "minority", Messages: management.Count{Known: true, N: 3}, Consumers: management.Count{Known: true},
		Members: three, Online: management.Names{Known: true, List: []string{"a"}},
	}}
	got = see(quorum)
	if got[QuorumLost] != bad || got[QuorumMembers] != bad || got[NumbersMissing] != well {
		t.Errorf("quorum: %v", got)
	}
}

func TestOldest(t *testing.T) {
	at := start
	count := func(n float64) management.Count { return management.Count{Known: true, N: n} }
	classic := management.Queue{Type: "classic", Ready: count(1)}
	for name, row := range map[string]struct {
		stamp management.Count
		ready float64
		want  Number
	}{
		"ten minutes":        {count(float64(at.Unix() - 600)), 1, known(600)},
		"empty":              {management.Count{}, 0, known(0)},
		"without timestamp":  {management.Count{}, 1, Number{}},
		"a clock ahead":      {count(float64(at.Unix() + 5)), 1, known(0)},
		"in milliseconds":    {count(float64(at.UnixMilli())), 1, Number{}},
		"at the seventies":   {count(0), 1, known(float64(at.Unix()))},
		"far in the future ": {count(float64(at.Unix() + 3600)), 1, Number{}},
	} {
		q := classic
		q.Ready, q.HeadTimestamp = count(row.ready), row.stamp
		if got := oldest(q, at); got != row.want {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
	if got := oldest(management.Queue{Type: "quorum", Ready: count(0)}, at); got.Known {
		t.Errorf("quorum: %v", got)
	}
}
