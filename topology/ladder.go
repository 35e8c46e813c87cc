package topology

import (
	"fmt"
	"math/bits"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The constants of ladder version 1. They are in every name: bindings only add up,
// so another unit or number of levels under the same names would double messages
// (R 5). A changed ladder is a new version beside the old one.
const (
	ladderVersion = 1
	ladderUnit    = 100 * time.Millisecond
	ladderLevels  = 24
	significant   = 4 // bits of a delay that may be set: the most hops it takes
)

// Ladder is a delay ladder: a set of quorum queues that hold messages for any
// delay, each for its own, without one waiting behind another. The zero value is
// the shared default ladder.
//
// Level k is a quorum queue with a TTL of 100 ms times 2^k behind a topic exchange
// of its own. The routing key carries the delay as one word a bit, highest first,
// then the escaped name of the target queue. At each level a 1 routes into the
// queue, which dead-letters, at least once, to the exchange below; a 0 passes on
// to that exchange at once. Below level 0 is the due exchange, where target queues
// are bound by their name (see [Ladder.Binding]). What no queue claims lies in
// [Ladder.Unclaimed].
//
// Services that must not share their fate use different scopes. A queue that can
// be full (MaxLength or MaxBytes with RejectPublish) must have a ladder of its own:
// while it is full it blocks every message of the ladder.
//
// Messages enter with priority 0: RabbitMQ 4.0 looks for expiry by priority lane,
// so that others would block the rest (R 4).
type Ladder struct {
	// Scope names the ladder; "" is "default". A queue's own ladder has the
	// queue's name as its scope.
	Scope string
	// Levels is how many levels there are, 1 to 24; 0 is 24, which reach 18 days.
	// A ladder with another number of levels is another ladder.
	Levels int
	// External ladders are declared by somebody else, as an admin does where users may
	// not configure: see Exchange.External. Bindings from Due to queues of the topology
	// are declared all the same. AMQP shows the exchanges and queues of the ladder, and
	// [Verify] with the management API its arguments and bindings, too.
	External bool
}

func (l Ladder) withDefaults() Ladder {
	if l.Scope == "" {
		l.Scope = "default"
	}
	if l.Levels == 0 {
		l.Levels = ladderLevels
	}
	return l
}

// Max is the longest delay: 18.2 days with 24 levels.
func (l Ladder) Max() time.Duration {
	return time.Duration(l.maxUnits()) * ladderUnit
}

func (l Ladder) maxUnits() uint64 {
	levels := max(0, min(l.withDefaults().Levels, ladderLevels))
	all := uint64(1)<<levels - 1
	if levels <= significant {
		return all
	}
	return all >> (levels - significant) << (levels - significant)
}

// Park says where to publish a message for it to come to the queue after delay:
// a delay of actual, which is delay rounded up to 100 ms and to 4 significant
// bits (so by an eighth at most, and 4 hops at most), at least 100 ms, and at
// most [Ladder.Max]: a longer delay is cut, and actual says so.
//
// The queue must be bound to the ladder (WorkQueue does it), the message mandatory
// and its priority 0.
func (l Ladder) Park(queue string, delay time.Duration) (exchange, key string, actual time.Duration) {
	l = l.withDefaults()
	units := min(roundUp(unitsOf(delay)), l.maxUnits())
	highest := max(bits.Len64(units)-1, 0)
	return l.level(highest), l.key(units, queue), time.Duration(units) * ladderUnit
}

// unitsOf is delay in units, rounded up, at least one.
func unitsOf(delay time.Duration) uint64 {
	if delay <= ladderUnit {
		return 1
	}
	return uint64((delay-1)/ladderUnit) + 1
}

// roundUp is the least number with at most 4 significant bits that is not below n.
func roundUp(n uint64) uint64 {
	drop := bits.Len64(n) - significant
	if drop <= 0 {
		return n
	}
	return (n-1)>>drop<<drop + 1<<drop
}

// key is the routing key: the bits of units as words, then the queue's word.
func (l Ladder) key(units uint64, queue string) string {
	var b strings.Builder
	for k := l.Levels - 1; k >= 0; k-- {
		b.WriteByte('0' + byte(units>>k&1))
		b.WriteByte('.')
	}
	b.WriteString(word(queue))
	return b.String()
}

// Binding is the binding by which the queue gets its messages back from the
// ladder.
func (l Ladder) Binding(queue string) Binding {
	return Binding{Source: l.Due(), Destination: queue, Key: "#." + word(queue)}
}

// Due is the name of the exchange at the bottom, where messages whose delay is
// over come out.
func (l Ladder) Due() string { return l.name("due") }

// Unclaimed is the name of the queue that holds what came out and had no queue to
// go to: its target is gone. It is a dead-letter queue: watch and replay it.
func (l Ladder) Unclaimed() string { return l.name("unclaimed") }

// level is the name of the exchange, and of the queue, of level k.
func (l Ladder) level(k int) string { return l.name(fmt.Sprintf("level.%02d", k)) }

// below is the exchange that level k passes messages on to.
func (l Ladder) below(k int) string {
	if k == 0 {
		return l.Due()
	}
	return l.level(k - 1)
}

func (l Ladder) name(last string) string {
	l = l.withDefaults()
	return fmt.Sprintf("hareline.v%d.%dms.%d.%s.%s",
		ladderVersion, ladderUnit.Milliseconds(), l.Levels, l.Scope, last)
}

// Topology is what the ladder is made of. Declaring it is the same as declaring a
// Topology with l in its Ladders. For Levels out of range it is empty. Of an External
// one it holds the exchanges and queues, as External, and no bindings.
func (l Ladder) Topology() Topology {
	l = l.withDefaults()
	if l.Levels < 1 || l.Levels > ladderLevels {
		return Topology{}
	}
	t := l.own()
	if !l.External {
		return t
	}
	for i, e := range t.Exchanges {
		t.Exchanges[i] = Exchange{Name: e.Name, External: true}
	}
	for i, q := range t.Queues {
		t.Queues[i] = Queue{Name: q.Name, External: true}
	}
	t.Bindings = nil
	return t
}

// own is what the ladder is made of, whoever declares it.
func (l Ladder) own() Topology {
	t := Topology{
		Exchanges: []Exchange{
			{Name: l.Unclaimed(), Kind: amqp.ExchangeFanout},
			{Name: l.Due(), Kind: amqp.ExchangeTopic, Alternate: l.Unclaimed()},
		},
		Queues:   []Queue{{Name: l.Unclaimed(), Type: Quorum, DeliveryLimit: Unlimited}},
		Bindings: []Binding{{Source: l.Unclaimed(), Destination: l.Unclaimed()}},
	}
	for k := range l.Levels {
		t.Exchanges = append(t.Exchanges, Exchange{Name: l.level(k), Kind: amqp.ExchangeTopic, Alternate: l.Unclaimed()})
		t.Queues = append(t.Queues, l.levelQueue(k))
		stars := strings.Repeat("*.", l.Levels-1-k)
		t.Bindings = append(t.Bindings,
			Binding{Source: l.level(k), Destination: l.level(k), Key: stars + "1.#"},
			Binding{Source: l.level(k), Destination: l.below(k), ToExchange: true, Key: stars + "0.#"})
	}
	return t
}

func (l Ladder) entity() string { return fmt.Sprintf("ladder %q", l.withDefaults().Scope) }

// levelQueue spells every argument out: the defaults of Queue may change in a later
// release, those of ladder version 1 may not. The limit is for the eyes of tools;
// a level has no consumers.
func (l Ladder) levelQueue(k int) Queue {
	return Queue{
		Name:               l.level(k),
		Type:               Quorum,
		TTL:                ladderUnit << k,
		DeadLetterExchange: l.below(k),
		DeadLetterStrategy: AtLeastOnce,
		Overflow:           RejectPublish,
		DeliveryLimit:      Unlimited,
	}
}
