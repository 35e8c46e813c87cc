package topology

import (
	"fmt"
	"reflect"
	"slices"
	"time"
)

// longestTTL is the most RabbitMQ takes: ten years.
const longestTTL = 315_360_000_000 * time.Millisecond

// check looks at one queue, whose defaults are filled in, by itself.
func (q Queue) check(r *report) {
	checkName(r, q.entity(), "Name", q.Name)
	if q.External {
		return
	}
	checkReserved(r, q.entity(), q.Name, func(own Topology) bool {
		return slices.ContainsFunc(own.Queues, func(o Queue) bool {
			return reflect.DeepEqual(o.withDefaults(), q)
		})
	})
	switch q.Type {
	case Quorum:
		q.checkQuorum(r)
	case Classic:
		q.checkClassic(r)
	case Stream:
		q.checkStream(r)
	default:
		types := []string{string(Quorum), string(Classic), string(Stream)}
		r.add(q.entity(), fmt.Sprintf("Type is %q%s", q.Type, didYouMean(string(q.Type), types)), "set it to Quorum, Classic or Stream")
		return
	}
	q.checkTypes(r)
	q.checkOverflow(r)
	q.checkPlacement(r)
	q.checkDeadLetterFields(r)
	checkMillis(r, q.entity(), "TTL", q.TTL)
	checkMillis(r, q.entity(), "Expires", q.Expires)
	checkMillis(r, q.entity(), "ConsumerTimeout", q.ConsumerTimeout)
	checkMillis(r, q.entity(), "DisconnectedTimeout", q.DisconnectedTimeout)
	q.checkArguments(r)
}

func (q Queue) checkQuorum(r *report) {
	if q.Transient || q.AutoDelete || q.Exclusive {
		r.add(q.entity(), "a quorum queue is durable, never exclusive, never deleted by itself: RabbitMQ refuses it",
			"clear Transient, AutoDelete and Exclusive, or set Type to Classic")
	}
	if q.DeliveryLimit < 0 {
		r.add(q.entity(), fmt.Sprintf("DeliveryLimit is %d: RabbitMQ 3.10 then drops a message at its first return", q.DeliveryLimit),
			"set it to Unlimited")
	}
	if q.DeliveryLimit > 0 && q.DeliveryLimit < Unlimited && q.DeadLetterExchange == "" {
		r.add(q.entity(), fmt.Sprintf("a message is deleted after %d deliveries: there is a DeliveryLimit and no DeadLetterExchange", q.DeliveryLimit+1),
			"set DeadLetterExchange, or leave DeliveryLimit 0 for none")
	}
	q.checkDelayedRetry(r)
}

func (q Queue) checkClassic(r *report) {
	if q.Transient && !q.Exclusive {
		r.add(q.entity(), "is transient and not exclusive: a restart of the broker loses it and its messages, and RabbitMQ is about to refuse such queues",
			"clear Transient, or set Exclusive")
	}
}

func (q Queue) checkOverflow(r *report) {
	if q.MaxLength < 0 || q.MaxBytes < 0 {
		r.add(q.entity(), "MaxLength or MaxBytes is negative", "set it to 0 for unbounded")
	}
	if q.Type == Stream {
		return // checkTypes refuses an Overflow
	}
	switch q.Overflow {
	case "":
		if q.bounded() {
			r.add(q.entity(), "is bounded without an Overflow: RabbitMQ then drops the oldest message, confirmed or not, without a word (H 3.3)",
				"set Overflow to RejectPublish, or to DropHead if that loss is wanted")
		}
	case RejectPublish, DropHead:
	case "reject-publish-dlx":
		r.add(q.entity(), "Overflow reject-publish-dlx refuses a message and dead-letters it as well, so that a repeated publish doubles; on quorum it drops (H 3.2)",
			"set Overflow to RejectPublish")
	default:
		r.add(q.entity(), fmt.Sprintf("Overflow is %q", q.Overflow), "set it to RejectPublish or DropHead")
	}
}

func (q Queue) checkDeadLetterFields(r *report) {
	if q.Type == Stream {
		return // checkTypes refuses all of it
	}
	if q.DeadLetterExchange == "" {
		if q.DeadLetterKey != "" || q.DeadLetterStrategy != "" {
			r.add(q.entity(), "DeadLetterKey and DeadLetterStrategy mean nothing without a DeadLetterExchange", "set DeadLetterExchange, or clear both")
		}
		return
	}
	if len(q.DeadLetterKey) > longestName {
		r.add(q.entity(), fmt.Sprintf("DeadLetterKey has %d bytes, AMQP allows %d", len(q.DeadLetterKey), longestName), "shorten it")
	}
	switch q.DeadLetterStrategy {
	case "", AtMostOnce:
	case AtLeastOnce:
		if q.Overflow != RejectPublish && q.Overflow != "" {
			r.add(q.entity(), fmt.Sprintf("at-least-once with Overflow %s: RabbitMQ then dead-letters at most once, and loses what cannot be routed (H 6)", q.Overflow),
				"set Overflow to RejectPublish")
		}
	default:
		r.add(q.entity(), fmt.Sprintf("DeadLetterStrategy is %q", q.DeadLetterStrategy), "set it to AtLeastOnce or AtMostOnce")
	}
}

// checkMillis holds d to what the wire can say: integer milliseconds (H 5.3).
func checkMillis(r *report, entity, field string, d time.Duration) {
	switch {
	case d < 0:
		r.add(entity, fmt.Sprintf("%s is negative (%v)", field, d), "set it to 0 for none")
	case d%time.Millisecond != 0:
		r.add(entity, fmt.Sprintf("%s is %v, not whole milliseconds", field, d), "round it")
	case d > longestTTL:
		r.add(entity, fmt.Sprintf("%s is %v, RabbitMQ takes ten years at most", field, d), "shorten it")
	}
}
