package amqptest

import (
	"fmt"
	"strings"
	"testing"
)

// TestExclusiveQueuesGoWithTheirConnection: in the order of their names, and
// only those that are still there.
func TestExclusiveQueuesGoWithTheirConnection(t *testing.T) {
	b := New(t)
	c := dialNamed(t, b, "p")
	ch := confirming(t, c, "shared")
	for _, name := range []string{"c", "a", "b"} {
		if _, err := ch.QueueDeclare(name, false, false, true, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ch.QueueDelete("b", false, false, false); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	var gone []string
	for _, e := range b.Trace(OfKind(EventQueueDeleted)) {
		gone = append(gone, e.Queue+" "+e.Reason)
	}
	if got := strings.Join(gone, ", "); got != "b client, a exclusive, c exclusive" {
		t.Error(got)
	}
	if all := b.Queues(""); len(all) != 1 || all[0].Name != "shared" {
		t.Errorf("%+v", all)
	}
}

func BenchmarkConnectionsBesideManyQueues(bench *testing.B) {
	p := newTopology(bench, Config{Trace: -1})
	for i := range 10_000 {
		p.must(declareQueue(fmt.Sprint("q", i)))
	}
	for bench.Loop() {
		if err := dialClient(bench, p.b).Close(); err != nil {
			bench.Fatal(err)
		}
	}
}
