package monitor

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/topology"
)

// probeType is the Type of a probe's message, by which it is known wherever it lies.
const probeType = "hareline.probe"

// probeBody is for whoever finds one.
const probeBody = "a probe of the delay ladder; it can be discarded"

// probePrefix starts the names of what probes declare; the ladder's own name follows,
// with its version in it.
const probePrefix = "hareline-probe."

// sinkTTL empties the shared queue: what lies there is of no use to anybody.
const sinkTTL = time.Minute

// probeName is the name of the queue that all probes of a ladder share, and the target
// that is in the routing key of their messages.
func probeName(l topology.Ladder) string {
	return probePrefix + strings.TrimPrefix(strings.TrimSuffix(l.Unclaimed(), ".unclaimed"), "hareline.")
}

// ProbeTopology is the one thing that probes leave on a broker: a queue for each ladder,
// which takes all of their messages, too, keeps one of them, and that for a minute. A
// probe whose process is gone has no other queue to go to, and would lie among the
// unclaimed messages. The queue is quorum, so that it is there when the ladder is, and
// drops its head, so that it never refuses anything and so holds up nobody.
//
// OpenProbe declares it. An admin declares it where users may not; then the Ladder of
// the ProbeConfig is External.
func ProbeTopology(l topology.Ladder) topology.Topology {
	due := topology.Exchange{Name: l.Due(), External: true}
	sink := topology.Queue{Name: probeName(l), External: true}
	if l.External {
		return topology.Topology{Exchanges: []topology.Exchange{due}, Queues: []topology.Queue{sink}}
	}
	sink = topology.Queue{
		Name: sink.Name, Type: topology.Quorum, DeliveryLimit: topology.Unlimited,
		MaxLength: 1, Overflow: topology.DropHead, TTL: sinkTTL,
	}
	return topology.Topology{
		Exchanges: []topology.Exchange{due}, Queues: []topology.Queue{sink},
		Bindings: []topology.Binding{{Source: due.Name, Destination: sink.Name, Key: l.Binding(sink.Name).Key + ".*"}},
	}
}

// ProbePermissions are the rights that a process needs to probe a ladder, as regular
// expressions of rabbitmqctl set_permissions. Of an External ladder the shared queue is
// not in them.
func ProbePermissions(l topology.Ladder) topology.Permissions {
	sink := regexp.QuoteMeta(probeName(l))
	own, levels := sink+`\..*`, regexp.QuoteMeta(strings.TrimSuffix(l.Due(), "due"))+`level\..*`
	due := regexp.QuoteMeta(l.Due())
	configure := own
	if !l.External {
		configure = sink + "|" + own
	}
	return topology.Permissions{
		Configure: "^(" + configure + ")$",
		Write:     "^(" + configure + "|" + levels + ")$",
		Read:      "^(" + own + "|" + due + ")$",
	}
}

// levelQueue is the name of the queue, and of the exchange, of a level.
func levelQueue(l topology.Ladder, k int) string {
	return fmt.Sprintf("%slevel.%02d", strings.TrimSuffix(l.Due(), "due"), k)
}

// levelUnit is the delay of level 0.
const levelUnit = 100 * time.Millisecond

// levelsOf are the levels that a delay passes, the highest first.
func levelsOf(delay time.Duration) []int {
	var levels []int
	for k := 63; k >= 0; k-- {
		if uint64(delay/levelUnit)>>k&1 == 1 {
			levels = append(levels, k)
		}
	}
	return levels
}

// looks is what must be there for a probe to come back. It is only looked at, but for
// the shared queue.
func (w way) looks(l topology.Ladder) topology.Topology {
	t := ProbeTopology(l)
	for _, level := range w.levels {
		t.Exchanges = append(t.Exchanges, topology.Exchange{Name: level, External: true})
		t.Queues = append(t.Queues, topology.Queue{Name: level, External: true})
	}
	return t
}

// message is a probe. It is persistent: the ladder's queues are, too.
func (w way) message(number uint64) amqp.Publishing {
	return amqp.Publishing{
		DeliveryMode: amqp.Persistent, Type: probeType, Timestamp: time.Now(),
		MessageId: w.id + "." + strconv.FormatUint(number, 10), Body: []byte(probeBody),
	}
}

// number reads it again.
func (w way) number(d amqp.Delivery) (uint64, bool) {
	text, ok := strings.CutPrefix(d.MessageId, w.id+".")
	n, err := strconv.ParseUint(text, 10, 64)
	return n, ok && err == nil && d.Type == probeType
}
