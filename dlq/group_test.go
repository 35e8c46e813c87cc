package dlq_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// failed is a letter that failed so at second n.
func failed(n int, class, text string) amqp.Publishing {
	s := story.Story{OriginQueue: "work", LastError: text, ErrorClass: class, DeadReason: story.ReasonExhausted, DeadAt: time.Unix(int64(n), 0)}
	return amqp.Publishing{MessageId: fmt.Sprint(n), Headers: s.Table()}
}

// Letters of one cause are one group, and a group can be replayed.
func TestGroups(t *testing.T) {
	each(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		p := publisher(t, l)
		var all []amqp.Publishing
		for i := range 30 {
			class, text := "*net.OpError", fmt.Sprintf("dial tcp 10.0.0.%d:5432: refused", i)
			if i%3 == 0 {
				class, text = "*errors.errorString", fmt.Sprintf("no film %q", fmt.Sprint("f", i))
			}
			all = append(all, failed(i+1, class, text))
		}
		publish(t, b, "", w.DeadLetterQueue, all...)
		q := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue})
		groups, rest, err := q.Groups(soon(t), nil)
		if err != nil || rest != 0 || len(groups) != 2 {
			t.Fatalf("%+v, %d, %v", groups, rest, err)
		}
		g := groups[0]
		if g.Count != 20 || g.Class != "*net.OpError" || g.Text != "dial tcp 10.0.0.1:5432: refused" || g.LetterID == "" ||
			!g.First.Equal(time.Unix(2, 0)) || !g.Last.Equal(time.Unix(30, 0)) || groups[1].Count != 10 {
			t.Errorf("%+v", groups)
		}
		few, _, err := q.Groups(soon(t), dlq.Filter{IDs: []string{"1", "2", "3"}}.At(time.Now()))
		if err != nil || len(few) != 2 || few[0].Count != 2 || few[0].Fingerprint != g.Fingerprint {
			t.Errorf("selected: %+v, %v", few, err)
		}
		report, err := q.Replay(soon(t), p, dlq.ReplayConfig{Select: dlq.Filter{Fingerprint: g.Fingerprint}.At(time.Now())})
		if err != nil || report.Replayed != 20 || len(ids(b, w.Queue)) != 20 || len(ids(b, w.DeadLetterQueue)) != 10 {
			t.Errorf("%v, %v", report, err)
		}
	})
}

// There are at most 1000 groups; what is in none of them is counted.
func TestGroupsAreBounded(t *testing.T) {
	on40(t, func(t *testing.T, b *amqptest.Broker) {
		l := open(t, b, link.Config{})
		w := work(t, l, topology.WorkConfig{})
		var all []amqp.Publishing
		for i := range 1100 {
			name := string([]byte{'a' + byte(i/100), 'k' + byte(i/10%10), 'k' + byte(i%10)})
			all = append(all, failed(i, "error", name))
		}
		publish(t, b, "", w.DeadLetterQueue, slices.Concat(all, all[:50], all[1090:])...)
		groups, rest, err := openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue}).Groups(soon(t), nil)
		if err != nil || len(groups) != 1000 || rest != 110 || groups[0].Count != 2 || groups[50].Count != 1 {
			t.Errorf("%d groups, %d in none, %v", len(groups), rest, err)
		}
	})
}
