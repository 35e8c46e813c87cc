package topology

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"
)

// live is what the broker has after q was declared.
func live(q Queue) liveQueue {
	q = q.withDefaults()
	return liveQueue{Type: q.Type, Durable: !q.Transient, AutoDelete: q.AutoDelete, Exclusive: q.Exclusive, Arguments: canonical(q.arguments())}
}

func weaknesses(all []difference) string {
	var texts []string
	for _, d := range all {
		if d.weaker != "" {
			texts = append(texts, d.argument+": "+d.weaker)
		}
	}
	return strings.Join(texts, "; ")
}

func TestWeaker(t *testing.T) {
	base := Queue{Name: "q", DeadLetterExchange: "dlx", DeadLetterKey: "q", TTL: time.Hour, DeliveryLimit: 100}
	with := func(change func(q *Queue)) Queue {
		q := base
		change(&q)
		return q
	}
	classic := Queue{Name: "q", Type: Classic}
	stream := Queue{Name: "q", Type: Stream, MaxAge: time.Hour, MaxBytes: 1000}
	for name, c := range map[string]struct {
		want, have Queue
		weaker     string // "" is that it will do
	}{
		"type":               {base, classic, "another type"},
		"higher limit":       {base, with(func(q *Queue) { q.DeliveryLimit = 200 }), ""},
		"lower limit":        {base, with(func(q *Queue) { q.DeliveryLimit = 99 }), "after 99 returns"},
		"longer TTL":         {base, with(func(q *Queue) { q.TTL = 2 * time.Hour }), ""},
		"no TTL":             {base, with(func(q *Queue) { q.TTL = 0 }), ""},
		"shorter TTL":        {base, with(func(q *Queue) { q.TTL = time.Minute }), "expire earlier"},
		"a TTL":              {classic, Queue{Name: "q", Type: Classic, TTL: time.Hour}, "expire earlier"},
		"expires":            {base, with(func(q *Queue) { q.Expires = time.Hour }), "deleted earlier"},
		"other exchange":     {base, with(func(q *Queue) { q.DeadLetterExchange = "old" }), "go elsewhere"},
		"other key":          {base, with(func(q *Queue) { q.DeadLetterKey = "old" }), "go elsewhere"},
		"at most once":       {base, with(func(q *Queue) { q.DeadLetterStrategy = AtMostOnce }), "sent once"},
		"at least once":      {with(func(q *Queue) { q.DeadLetterStrategy = AtMostOnce }), base, ""},
		"drops":              {base, with(func(q *Queue) { q.Overflow = DropHead }), "reject-publish"},
		"bounded":            {base, with(func(q *Queue) { q.MaxLength, q.Overflow = 5, RejectPublish }), "refuses messages"},
		"bounded, drops":     {base, with(func(q *Queue) { q.MaxBytes, q.Overflow = 5, DropHead }), "drops messages"},
		"unbounded":          {with(func(q *Queue) { q.MaxLength, q.Overflow = 5, RejectPublish }), base, ""},
		"larger bound":       {with(func(q *Queue) { q.MaxLength, q.Overflow = 5, RejectPublish }), with(func(q *Queue) { q.MaxLength, q.Overflow = 6, RejectPublish }), ""},
		"rejects, not drops": {Queue{Name: "q", MaxLength: 5, Overflow: DropHead}, Queue{Name: "q", MaxLength: 5, Overflow: RejectPublish}, ""},
		"drops, not rejects": {Queue{Name: "q", MaxLength: 5, Overflow: RejectPublish}, Queue{Name: "q", MaxLength: 5, Overflow: DropHead}, "when it is full"},
		"single active":      {base, with(func(q *Queue) { q.SingleActive = true }), ""},
		"no single active":   {with(func(q *Queue) { q.SingleActive = true }), base, "several consumers"},
		"longer timeout":     {base, with(func(q *Queue) { q.ConsumerTimeout = time.Hour }), ""},
		"shorter timeout":    {base, with(func(q *Queue) { q.ConsumerTimeout = time.Minute }), "taken back"},
		"default timeout":    {with(func(q *Queue) { q.ConsumerTimeout = time.Hour }), base, "taken back"},
		"delayed retry":      {base, with(func(q *Queue) { q.DelayedRetry, q.DelayedRetryMin = RetryAll, time.Second }), "waits otherwise"},
		"locator":            {base, with(func(q *Queue) { q.LeaderLocator = Balanced }), ""},
		"fewer replicas":     {with(func(q *Queue) { q.InitialGroupSize = 5 }), base, "fewer replicas"},
		"one replica":        {base, with(func(q *Queue) { q.InitialGroupSize = 1 }), "fewer replicas"},
		"stream on all":      {Queue{Name: "q", Type: Stream, InitialGroupSize: 2}, Queue{Name: "q", Type: Stream}, ""},
		"stream on one":      {Queue{Name: "q", Type: Stream}, Queue{Name: "q", Type: Stream, InitialGroupSize: 1}, "fewer replicas"},
		"more replicas":      {base, with(func(q *Queue) { q.InitialGroupSize = 5 }), ""},
		"auto-delete":        {classic, Queue{Name: "q", Type: Classic, AutoDelete: true}, "last consumer"},
		"transient":          {classic, Queue{Name: "q", Type: Classic, Transient: true}, "restarts"},
		"exclusive":          {classic, Queue{Name: "q", Type: Classic, Exclusive: true}, "alone"},
		"durable":            {Queue{Name: "q", Type: Classic, Exclusive: true, Transient: true}, Queue{Name: "q", Type: Classic}, ""},
		"priorities":         {classic, Queue{Name: "q", Type: Classic, MaxPriority: 3}, ""},
		"fewer priorities":   {Queue{Name: "q", Type: Classic, MaxPriority: 4}, Queue{Name: "q", Type: Classic, MaxPriority: 3}, "count as one"},
		"priorities, TTL":    {Queue{Name: "q", Type: Classic, TTL: 1e9}, Queue{Name: "q", Type: Classic, TTL: 1e9, MaxPriority: 3}, "F 20"},
		"older stream":       {stream, Queue{Name: "q", Type: Stream, MaxAge: 2 * time.Hour, MaxBytes: 1001, SegmentBytes: 5}, ""},
		"younger stream":     {stream, Queue{Name: "q", Type: Stream, MaxAge: time.Minute, MaxBytes: 1000}, "dropped earlier"},
		"smaller stream":     {stream, Queue{Name: "q", Type: Stream, MaxAge: time.Hour, MaxBytes: 999}, "dropped earlier"},
		"plugin's argument":  {base, with(func(q *Queue) { q.Unchecked = amqp.Table{"x-foo": "a"} }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			all := compareQueue(c.want, live(c.have))
			if len(all) == 0 {
				t.Fatal("no difference")
			}
			got := weaknesses(all)
			if (got == "") != (c.weaker == "") || !strings.Contains(got, c.weaker) {
				t.Errorf("%q, want %q", got, c.weaker)
			}
		})
	}
}

// 4.x counts 20 returns where nothing is said, and 3.10 none where -1 is.
func TestWeakerLimits(t *testing.T) {
	for limit, weaker := range map[any]bool{nil: true, int64(-1): true, int64(100): false, int64(1000): false} {
		have := live(Queue{Name: "q", DeadLetterExchange: "dlx"})
		delete(have.Arguments, "x-delivery-limit")
		if limit != nil {
			have.Arguments["x-delivery-limit"] = limit
		}
		if got := weaknesses(compareQueue(Queue{Name: "q", DeadLetterExchange: "dlx"}, have)); (got != "") != weaker {
			t.Errorf("%v: %q", limit, got)
		}
	}
}

// A policy counts where there is no argument, and as the smaller one of two numbers.
func TestPoliciesCount(t *testing.T) {
	want := Queue{Name: "q", TTL: time.Hour}
	for text, weaker := range map[string]string{
		`[]`:                             "",
		`{"message-ttl": 7200000}`:       "",
		`{"message-ttl": 60000}`:         `x-message-ttl (by policy "p"): messages expire earlier`,
		`{"max-length": 5}`:              `x-max-length (by policy "p"): it is full earlier, and then drops messages`,
		`{"dead-letter-exchange": "e"}`:  `x-dead-letter-exchange (by policy "p"): dead letters go elsewhere, or are deleted`,
		`{"queue-master-locator": "e"}`:  "",
		`{"delivery-limit": 2000000000}`: "",
	} {
		have := live(want)
		have.Policy = "p"
		if err := json.Unmarshal([]byte(text), &have.ByPolicy); err != nil {
			t.Fatal(err)
		}
		if got := weaknesses(compareQueue(want, have)); got != weaker {
			t.Errorf("%s: %q, want %q", text, got, weaker)
		}
	}
}

func TestCompareExchange(t *testing.T) {
	want := Exchange{Name: "e", Kind: "topic", Alternate: "a"}
	same := liveExchange{Type: "topic", Durable: true, Arguments: table{"alternate-exchange": "a"}}
	if all := compareExchange(want, same); len(all) > 0 {
		t.Error(all)
	}
	for weaker, have := range map[string]liveExchange{
		"routes otherwise": {Type: "direct", Durable: true, Arguments: same.Arguments},
		"restarts":         {Type: "topic", Arguments: same.Arguments},
		"last binding":     {Type: "topic", Durable: true, AutoDelete: true, Arguments: same.Arguments},
		"refuses":          {Type: "topic", Durable: true, Internal: true, Arguments: same.Arguments},
		"nowhere":          {Type: "topic", Durable: true},
	} {
		if got := weaknesses(compareExchange(want, have)); !strings.Contains(got, weaker) {
			t.Errorf("%q, want %q", got, weaker)
		}
	}
	if got := compareExchange(Exchange{Name: "e", Kind: "topic", Internal: true, Transient: true}, liveExchange{Type: "topic", Durable: true}); len(got) != 2 || weaknesses(got) != "" {
		t.Errorf("%v", got)
	}
}

// What is the same is no difference, whatever it is; and a queue is never weaker than
// itself both ways round without a reason that is told of one of them.
func TestCompareIsSane(t *testing.T) {
	draw := rapid.Custom(func(t *rapid.T) Queue {
		return Queue{
			Name: "q", Type: rapid.SampledFrom([]QueueType{Quorum, Classic, Stream}).Draw(t, "type"),
			TTL: rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour}).Draw(t, "ttl"), MaxLength: rapid.Int64Range(0, 2).Draw(t, "length"),
			MaxAge: rapid.SampledFrom([]time.Duration{0, 24 * time.Hour, 90 * time.Second}).Draw(t, "age"), SingleActive: rapid.Bool().Draw(t, "single"),
			DeliveryLimit: rapid.Int64Range(0, 2).Draw(t, "limit"), Overflow: rapid.SampledFrom([]Overflow{"", DropHead, RejectPublish}).Draw(t, "overflow"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		if all := compareQueue(a, live(a)); len(all) > 0 {
			t.Fatalf("%+v differs from itself: %+v", a, all)
		}
		if (len(compareQueue(a, live(b))) == 0) != (len(compareQueue(b, live(a))) == 0) {
			t.Fatal("a differs from b, and not b from a")
		}
	})
}
