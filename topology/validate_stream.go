package topology

import (
	"fmt"
	"time"
)

// What RabbitMQ takes.
const (
	longestSegment = 3_000_000_000
	leastFilter    = 16
	greatestFilter = 255
)

func (q Queue) checkStream(r *report) {
	if q.Transient || q.AutoDelete || q.Exclusive {
		r.add(q.entity(), "a stream is durable, never exclusive, never deleted by itself: RabbitMQ refuses it",
			"clear Transient, AutoDelete and Exclusive, or set Type to Classic")
	}
	if q.MaxAge < 0 || q.MaxAge%time.Second != 0 {
		r.add(q.entity(), fmt.Sprintf("MaxAge is %v", q.MaxAge), "set it to whole seconds, or to 0 for ever")
	}
	if q.SegmentBytes < 0 || q.SegmentBytes > longestSegment {
		r.add(q.entity(), fmt.Sprintf("SegmentBytes is %d", q.SegmentBytes), fmt.Sprintf("set it to 1 to %d, or to 0 for 500 MB", longestSegment))
	}
	if q.FilterBytes != 0 && (q.FilterBytes < leastFilter || q.FilterBytes > greatestFilter) {
		r.add(q.entity(), fmt.Sprintf("FilterBytes is %d", q.FilterBytes), fmt.Sprintf("set it to %d to %d, or to 0 for %d", leastFilter, greatestFilter, leastFilter))
	}
	if q.MaxBytes > 0 && q.SegmentBytes > q.MaxBytes {
		r.add(q.entity(), fmt.Sprintf("MaxBytes is %d, less than one segment of %d bytes: retention drops whole segments and never the newest, so the stream keeps more", q.MaxBytes, q.SegmentBytes),
			"make SegmentBytes a fraction of MaxBytes")
	}
}

func (q Queue) checkPlacement(r *report) {
	switch q.LeaderLocator {
	case "", ClientLocal, Balanced:
	default:
		locators := []string{string(ClientLocal), string(Balanced)}
		r.add(q.entity(), fmt.Sprintf("LeaderLocator is %q%s", q.LeaderLocator, didYouMean(string(q.LeaderLocator), locators)),
			"set it to ClientLocal or Balanced, which RabbitMQ 3.10 to 4.3 all take")
	}
	if q.InitialGroupSize < 0 {
		r.add(q.entity(), fmt.Sprintf("InitialGroupSize is %d", q.InitialGroupSize), "set it to an odd number of nodes, or to 0 for the broker's default")
	}
}

// checkDelayedRetry refuses what RabbitMQ 4.3 would take without a word and not do.
func (q Queue) checkDelayedRetry(r *report) {
	checkMillis(r, q.entity(), "DelayedRetryMin", q.DelayedRetryMin)
	checkMillis(r, q.entity(), "DelayedRetryMax", q.DelayedRetryMax)
	switch q.DelayedRetry {
	case "":
		if q.DelayedRetryMin != 0 || q.DelayedRetryMax != 0 {
			r.add(q.entity(), "DelayedRetryMin and DelayedRetryMax mean nothing without a DelayedRetry", "set DelayedRetry, or clear both")
		}
		return
	case RetryFailed, RetryReturned, RetryAll:
	default:
		kinds := []string{string(RetryFailed), string(RetryReturned), string(RetryAll)}
		r.add(q.entity(), fmt.Sprintf("DelayedRetry is %q%s", q.DelayedRetry, didYouMean(string(q.DelayedRetry), kinds)), "set it to RetryFailed, RetryReturned or RetryAll")
		return
	}
	if q.DelayedRetryMin <= 0 {
		r.add(q.entity(), "DelayedRetry without a DelayedRetryMin: RabbitMQ then delays nothing", "set DelayedRetryMin")
	}
	if q.DelayedRetryMax > 0 && q.DelayedRetryMax < q.DelayedRetryMin {
		r.add(q.entity(), fmt.Sprintf("DelayedRetryMax is %v, below DelayedRetryMin", q.DelayedRetryMax), "set it to at least DelayedRetryMin, or to 0")
	}
}
