package monitor_test

import (
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/monitor"
	"github.com/hareline/hareline/topology"
)

// The thresholds, each crossed and left on every release, with the numbers of its
// management API.
func TestThresholds(t *testing.T) {
	eachBroker(t, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		w := x.watch(monitor.Config{Queues: []monitor.Queue{{Name: "orders", MinConsumers: -1, BackingUp: -1, Unacked: 10}}})
		w.raisesAndClears("pending orders", func() { x.publish("orders", 1001) }, func() { x.purge("orders") })

		x.publish("orders", 11)
		var c *driven
		w.raisesAndClears("unacked orders", func() { c = x.consume("orders", 100) }, func() { c.ack(11) })
	})
}

func TestNoConsumers(t *testing.T) {
	eachBroker(t, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		c := x.consume("orders", 1)
		w := x.watch(monitor.Config{Queues: monitor.Watch(topology.WorkQueue("orders", topology.WorkConfig{}))})
		w.raisesAndClears("no-consumers orders", c.close, func() { x.consume("orders", 1) })
	})
}

// Rates are means over a round: forty messages a minute come, ten or forty go.
func TestBackingUp(t *testing.T) {
	eachBroker(t, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		c := x.consume("orders", 0)
		w := x.watch(monitor.Config{Queues: []monitor.Queue{{Name: "orders"}}})
		minute := func(publish, ack int, alarms ...string) {
			x.Helper()
			x.publish("orders", publish)
			c.ack(ack)
			w.want(1, alarms...)
		}
		minute(40, 40)
		r := w.Report().Queues[0]
		if r.PublishRate.String() != "0.67" || r.ConsumeRate.String() != "0.67" {
			x.Errorf("%v published, %v consumed a second", r.PublishRate, r.ConsumeRate)
		}
		minute(40, 10) // one such minute is a burst
		minute(40, 40)
		minute(40, 10)
		minute(40, 10, "raised backing-up orders")
		minute(40, 10)
		minute(40, 23) // more than 1.6 times as fast: the band
		minute(40, 40)
		minute(40, 40, "cleared backing-up orders")
		c.ack(7 + 30*3 + 10)
		w.want(3)
	})
}

// A queue that hardly holds anything is not backing up, whatever the rates.
func TestRatesOfFewMessagesAreNoise(t *testing.T) {
	eachBroker(t, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		c := x.consume("orders", 0)
		w := x.watch(monitor.Config{Queues: []monitor.Queue{{Name: "orders"}}})
		for range 8 {
			x.publish("orders", 1)
			w.want(1)
		}
		c.ack(8)
		w.want(3)
	})
}

func TestOldestMessage(t *testing.T) {
	eachBroker(t, func(x bubble) {
		x.operate(func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare("classic", true, false, false, false, nil)
			return err
		})
		x.work("quorum", topology.WorkConfig{})
		watched := monitor.Queue{MinConsumers: -1, OldestMessage: 3 * time.Minute}
		classic, quorum := watched, watched
		classic.Name, quorum.Name = "classic", "quorum"
		w := x.watch(monitor.Config{Queues: []monitor.Queue{classic, quorum}})
		x.publish("classic", 1)
		x.publish("quorum", 1)
		w.want(4) // 1 to 4 minutes
		if r := w.Report(); r.Queues[1].OldestMessage.Known || r.Queues[0].OldestMessage.Value < 200 {
			x.Errorf("%+v", r.Queues)
		}
		w.want(1, "raised oldest-message classic")
		x.purge("classic")
		w.want(2, "cleared oldest-message classic")
	})
}

func TestDeadLetters(t *testing.T) {
	eachBroker(t, func(x bubble) {
		work := x.work("orders", topology.WorkConfig{})
		x.consume("orders", 1)
		w := x.watch(monitor.Config{Queues: monitor.Watch(work)})
		w.want(1)
		x.publish(work.DeadLetterQueue, 1)
		w.want(1)
		w.want(1, "raised dead-letters orders.dlq") // it grew in one round only
		x.publish(work.DeadLetterQueue, 2)
		w.want(1)
		x.publish(work.DeadLetterQueue, 2)
		w.want(1, "raised dead-letters-growing orders.dlq")
		if q := w.Report().Queues[1]; q.Growth.Value != 2 || q.Messages.Value != 5 || !q.DeadLetterQueue {
			x.Errorf("%+v", q)
		}
		w.want(1)
		w.want(1, "cleared dead-letters-growing orders.dlq")
		x.purge(work.DeadLetterQueue)
		w.want(1)
		w.want(1, "cleared dead-letters orders.dlq")
	})
}

func TestQueueDisappears(t *testing.T) {
	eachBroker(t, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		w := x.watch(monitor.Config{Queues: []monitor.Queue{{Name: "orders", Pending: 10, MinConsumers: -1}}})
		x.publish("orders", 11)
		w.want(2, "raised pending orders")
		x.operate(func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete("orders", false, false, false)
			return err
		})
		w.want(2, "raised queue-missing orders")
		w.want(3) // what was in it is not known to be well
		if q := w.Report().Queues[0]; !q.Missing || q.Messages.Known || q.Err != nil || w.Report().Err != nil {
			x.Errorf("%+v", q)
		}
		x.work("orders", topology.WorkConfig{})
		w.want(1)
		w.want(1, "cleared queue-missing orders", "cleared pending orders")
	})
}

func TestNodeAlarms(t *testing.T) {
	eachBroker(t, func(x bubble) {
		w := x.watch(monitor.Config{})
		for _, resource := range []string{"memory", "disk"} {
			alarm := func(set func(string) error) func() {
				return func() {
					if err := set(resource); err != nil {
						x.Fatal(err)
					}
				}
			}
			w.raisesAndClears(resource+"-alarm", alarm(x.b.Alarm), alarm(x.b.ClearAlarm))
		}
	})
}

// amqptest is one node; its answers are changed to those of three.
func TestReplicas(t *testing.T) {
	eachBroker(t, func(x bubble) {
		work := x.work("orders", topology.WorkConfig{})
		w := x.watch(monitor.Config{Queues: []monitor.Queue{{Name: work.Queue, MinConsumers: -1, Pending: 10}}})
		three := []string{"rabbit@a", "rabbit@b", "rabbit@c"}
		online := func(n int) func() {
			return func() {
				w.api.set(nil, func(_ string, o map[string]any) {
					if o["name"] == "orders" {
						o["members"], o["online"] = three, three[:n]
						if n < 2 {
							o["state"] = "minority"
						}
					}
				})
			}
		}
		w.raisesAndClears("quorum-members orders", online(2), online(3))
		x.publish("orders", 11)
		w.want(2, "raised pending orders")
		online(1)()
		w.want(2, "raised quorum-members orders", "raised quorum-lost orders")
		x.purge("orders") // the numbers of a queue without majority are old ones
		w.want(3)
		online(3)()
		w.want(2, "cleared quorum-members orders", "cleared quorum-lost orders", "cleared pending orders")
	})
}

// Statistics are off, or the node of a classic queue is down.
func TestNumbersWithheld(t *testing.T) {
	eachBroker(t, func(x bubble) {
		x.work("orders", topology.WorkConfig{})
		w := x.watch(monitor.Config{Queues: []monitor.Queue{{Name: "orders", MinConsumers: -1, Pending: 10}}})
		x.publish("orders", 11)
		w.want(2, "raised pending orders")
		w.api.set(nil, func(_ string, o map[string]any) {
			for _, field := range []string{"messages", "messages_ready", "messages_unacknowledged", "consumers", "message_stats", "messages_dlx"} {
				delete(o, field)
			}
		})
		x.purge("orders")
		w.want(2) // the first time it may be a new queue
		w.want(1, "raised numbers-missing orders")
		w.want(5)
		if q := w.Report().Queues[0]; q.Messages.Known || q.PublishRate.Known || q.Err != nil || !q.Members.Known {
			x.Errorf("%+v", q)
		}
		w.api.set(nil, nil)
		w.want(2, "cleared numbers-missing orders", "cleared pending orders")
	})
}

// Many retries wait, until their delay is over.
func TestLadderMessages(t *testing.T) {
	eachBroker(t, func(x bubble) {
		work := x.work("orders", topology.WorkConfig{})
		w := x.watch(monitor.Config{Ladders: monitor.Ladders(work, work), LadderMessages: 20})
		if n := len(w.Report().Ladders); n != 1 {
			x.Fatalf("%d ladders", n)
		}
		w.want(1)
		x.park(work, 4*time.Minute, 21)
		w.want(1)
		w.want(1, "raised ladder-messages")
		if l := w.Report().Ladders[0]; l.Messages.Value != 21 || l.Held.Value != 0 || l.Unclaimed.String() != "0" || len(l.Queues) != 25 {
			x.Errorf("%v messages, %v held, %v unclaimed, %d queues", l.Messages, l.Held, l.Unclaimed, len(l.Queues))
		}
		w.want(3)
		w.want(1, "cleared ladder-messages")
	})
}

// The ladder stands because its target takes nothing; then a retry comes back to a queue
// that is gone; then a level is.
func TestLadder(t *testing.T) {
	eachBroker(t, func(x bubble) {
		work := x.bounded()
		w := x.watch(monitor.Config{Ladders: monitor.Ladders(work)})
		x.park(work, 30*time.Second, 5) // a full quorum queue takes one more than its length
		w.want(1)
		w.want(1, "raised ladder-stuck")
		if l := w.Report().Ladders[0]; l.Held.Value != 3 || l.Messages.Value != 3 { // as RabbitMQ counts them
			x.Errorf("%v held of %v messages", l.Held, l.Messages)
		}
		x.drain("bounded", 10*time.Minute)
		w.want(0, "cleared ladder-stuck")

		x.park(work, time.Second, 2)
		x.operate(func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete("bounded", false, false, false)
			return err
		})
		unclaimed := work.Ladder.Unclaimed()
		w.want(3, "raised unclaimed "+unclaimed)
		x.purge(unclaimed)
		w.want(3, "cleared unclaimed "+unclaimed)

		level := w.Report().Ladders[0].Queues[3].Queue
		w.raisesAndClears("queue-missing", func() {
			x.operate(func(ch *amqp.Channel) error {
				_, err := ch.QueueDelete(level, false, false, false)
				return err
			})
		}, func() { x.bounded() })
	})
}

func TestWatch(t *testing.T) {
	shared := topology.WorkConfig{DeadLetterQueue: "letters"}
	a, b := topology.WorkQueue("a", shared), topology.WorkQueue("b", shared)
	got := monitor.Watch(a, b, a)
	want := []monitor.Queue{{Name: "a"}, {Name: "letters", DeadLetterQueue: true}, {Name: "b"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if n := len(monitor.Ladders(a, b)); n != 1 {
		t.Errorf("%d ladders", n)
	}
}
