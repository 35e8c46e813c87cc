package monitor

import (
	"fmt"
	"time"
)

// queueReadings are those of one queue of Config.
func (c Config) queueReadings(t Queue, r QueueReport, at time.Time) []reading {
	all := presence(at, r)
	add := func(on bool, reads reading, kind Kind, plain, remedy string) {
		if on {
			all = append(all, reads.of(subject{kind: kind, queue: t.Name}, fmt.Sprintf("queue %q %s", t.Name, plain), remedy))
		}
	}
	pending, backing, unacked := above(r.Messages, float64(t.Pending), c.ClearAt), c.backingUp(t, r), above(r.Unacked, float64(t.Unacked), c.ClearAt)
	if r.Type == "stream" { // a stream keeps what was consumed
		pending, backing, unacked = reading{}, reading{}, reading{}
	}
	add(t.Pending > 0, pending, Pending,
		fmt.Sprintf("has %v messages, its limit is %d", r.Messages, t.Pending), "add consumers or make handlers faster, or find out who publishes so much")
	add(t.BackingUp > 0, backing, BackingUp,
		fmt.Sprintf("gets %v messages a second, of which %v are consumed; %v are in it", r.PublishRate, r.ConsumeRate, r.Messages), "add consumers or make handlers faster")
	add(t.Unacked > 0, unacked, Unacked,
		fmt.Sprintf("has %v unacked messages, its limit is %d", r.Unacked, t.Unacked), "see whether handlers hang, or a prefetch is too large")
	add(t.MinConsumers > 0, consumers(t, r), NoConsumers,
		fmt.Sprintf("has %v consumers, and needs %d", r.Consumers, t.MinConsumers), "see why the service does not run or does not consume")
	add(t.OldestMessage > 0, above(r.OldestMessage, t.OldestMessage.Seconds(), c.ClearAt), OldestMessage,
		fmt.Sprintf("has a message that waits for %s, its limit is %s", seconds(r.OldestMessage), t.OldestMessage), "see what holds up its consumers")
	add(t.DeadLetterQueue && t.Letters >= 0, above(r.Messages, float64(t.Letters), c.ClearAt), DeadLetters,
		fmt.Sprintf("holds %v dead letters, its limit is %d", r.Messages, t.Letters), "look at what went wrong, mend it, and replay them")
	add(t.DeadLetterQueue && t.Growth >= 0, above(r.Growth, float64(t.Growth), c.ClearAt), DeadLettersGrowing,
		fmt.Sprintf("got %v more dead letters in a round, its limit is %d; it holds %v", r.Growth, t.Growth, r.Messages), "something fails now: look at the newest letter's reason")
	return all
}

func seconds(n Number) string {
	if !n.Known {
		return n.String()
	}
	return time.Duration(n.Value * float64(time.Second)).String()
}

// backingUp compares the rates. Where hardly anything is in the queue, they are noise.
func (c Config) backingUp(t Queue, r QueueReport) reading {
	backlog := max(float64(t.Backlog), 0)
	reads := above(r.PublishRate, t.BackingUp*r.ConsumeRate.Value, c.ClearAt)
	switch {
	case r.Messages.Known && r.Messages.Value <= backlog*c.ClearAt && backlog > 0:
		reads.condition = well
	case !r.Messages.Known || !r.ConsumeRate.Known:
		reads.condition = unknown
	case reads.condition == bad && r.Messages.Value < backlog:
		reads.condition = between
	}
	return reads
}

// consumers has no level between: rounds alone keep it from flapping.
func consumers(t Queue, r QueueReport) reading {
	if !r.Consumers.Known {
		return reading{}
	}
	reads := fact(r.Consumers.Value < float64(t.MinConsumers))
	reads.value, reads.limit = r.Consumers.Value, float64(t.MinConsumers)
	return reads
}
