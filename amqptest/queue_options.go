package amqptest

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// defaultDeliveryLimit is that of quorum queues since 4.0.
const defaultDeliveryLimit = 20

// queueProperties are what queue.declare says of a queue beside its arguments.
type queueProperties struct {
	durable, autoDelete, exclusive bool
}

// readQueueArguments checks what a new queue is to be, and works out what its
// arguments amount to. queue names it for texts.
func readQueueArguments(v Version, queue string, p queueProperties, table wire.Table) (queueKind, queueOptions, *amqpError) {
	a := queueArguments{version: v, table: table, queue: queue}
	kind, err := a.kind()
	if err == nil {
		err = a.check(kind)
	}
	if err == nil {
		err = a.checkProperties(kind, p)
	}
	if err != nil {
		return "", queueOptions{}, err
	}
	return kind, a.options(kind), nil
}

// checkProperties refuses what queues of a kind cannot be.
func (a queueArguments) checkProperties(kind queueKind, p queueProperties) *amqpError {
	if kind == classic {
		return a.checkMasterLocator()
	}
	property := ""
	switch {
	case p.autoDelete:
		property = "auto-delete"
	case p.exclusive:
		property = "exclusive-owner"
	case !p.durable:
		property = "non-durable"
	}
	if property != "" {
		return softError(codePreconditionFailed, "invalid property '%s' for %s", property, a.queue)
	}
	if kind == stream {
		return a.checkStream()
	}
	return nil
}

// notPermitted is the answer to the use of a feature that RabbitMQ denies
// unless its configuration permits it.
func notPermitted(feature string) *amqpError {
	return hardError(codeInternalError, "Feature `%s` is deprecated.\n"+
		"By default, this feature is not permitted anymore.\n"+
		"The feature will be removed from a future major RabbitMQ version, regardless of the configuration; "+
		"actual version to be determined.\n"+
		"To continue using this feature when it is not permitted by default, set the following parameter in your "+
		"configuration:\n    \"deprecated_features.permit.%s = true\"", feature, feature)
}

func (a queueArguments) checkMasterLocator() *amqpError {
	locator, ok := a.table.Get(argMasterLocator)
	if !ok {
		return nil
	}
	if a.version.atLeast43() {
		return notPermitted("queue_master_locator")
	}
	if a.version.atLeast40() {
		return nil
	}
	switch locator {
	case "min-masters", "client-local", "random":
		return nil
	}
	return crashError()
}

func (a queueArguments) checkStream() *amqpError {
	const maxSegment, minFilter, maxFilter = 3_000_000_000, 16, 255
	if n := a.int(argSegmentSize, 0); n > maxSegment {
		return softError(codePreconditionFailed, "Exceeded max value for %s", argSegmentSize)
	}
	if v, ok := a.table.Get(argFilterSize); ok && a.version.atLeast40() {
		// In 4.0 it has no check of its type: what is no number is too large.
		n, isInt := wire.Int(v)
		f, isFloat := float(v)
		if isInt && (n < minFilter || n > maxFilter) || isFloat && (f < minFilter || f > maxFilter) || !isInt && !isFloat {
			space := ""
			if !a.version.atLeast43() {
				space = " "
			}
			return softError(codePreconditionFailed, "Invalid value for %s%s", space, argFilterSize)
		}
	}
	return nil
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case float32:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// int is an integer argument, or otherwise where there is none.
func (a queueArguments) int(name string, otherwise int64) int64 {
	v, _ := a.table.Get(name)
	if n, ok := wire.Int(v); ok {
		return n
	}
	return otherwise
}

func (a queueArguments) text(name string) (string, bool) {
	v, _ := a.table.Get(name)
	s, ok := v.(string)
	return s, ok
}

func (a queueArguments) millis(name string) (time.Duration, bool) {
	n := a.int(name, -1)
	if n < 0 {
		return 0, false
	}
	return time.Duration(min(n, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond, true
}

// options are what arguments that were checked amount to.
func (a queueArguments) options(kind queueKind) queueOptions {
	o := queueOptions{maxLength: -1, maxBytes: a.int(argMaxBytes, -1), deliveryLimit: -1}
	if kind == stream {
		if s, ok := a.text(argMaxAge); ok {
			o.maxAge, _ = maxAge(s)
		}
		o.segmentBytes = a.int(argSegmentSize, defaultSegmentBytes)
		return o
	}
	o.ttl, o.hasTTL = a.millis(argTTL)
	o.expires, _ = a.millis(argExpires)
	o.maxLength = a.int(argMaxLength, -1)
	o.dlx, o.hasDLX = a.text(argDLX)
	o.dlk, o.hasDLK = a.text(argDLK)
	o.overflow = a.overflow(kind)
	single, _ := a.table.Get(argSingleActive)
	o.singleActive = single == true
	if a.version.atLeast40() {
		o.consumerTimeout, _ = a.millis(argConsumerTimeout)
	}
	if kind == classic {
		o.maxPriority = a.maxPriority()
		return o
	}
	strategy, _ := a.text(argDLStrategy)
	o.atLeastOnce = o.hasDLX && strategy == "at-least-once" && o.overflow == rejectPublish
	o.deliveryLimit = a.deliveryLimit()
	if a.version.atLeast43() {
		o.delayedRetry, o.delayedRetryMin, o.delayedRetryMax = a.delayedRetry()
	}
	return o
}

// maxPriority is that of a classic queue; 0: it has no priorities. Since 4.0
// the least is 1.
func (a queueArguments) maxPriority() int {
	n := int(a.int(argMaxPriority, -1))
	if n >= 0 && a.version.atLeast40() {
		return max(1, n)
	}
	return max(0, n)
}

// overflow is what a full queue does: a quorum queue that is to reject and to
// dead-letter does neither.
func (a queueArguments) overflow(kind queueKind) string {
	s, ok := a.text(argOverflow)
	if !ok || kind == quorum && s == rejectPublishDLX {
		return dropHead
	}
	return s
}

// deliveryLimit is that of a quorum queue; -1: none. RabbitMQ takes any value
// here, and compares the deliveries with it as Erlang compares terms: whatever
// is no number is larger than each number.
func (a queueArguments) deliveryLimit() int64 {
	v, _ := a.table.Get(argDeliveryLimit)
	limit, isInt := wire.Int(v)
	f, isFloat := float(v)
	switch {
	case isInt:
	case isFloat && f < math.MaxInt64:
		limit = int64(math.Floor(math.Max(f, -1)))
	case v == nil && a.version.atLeast40():
		return defaultDeliveryLimit
	default:
		return -1
	}
	if limit < 0 && !a.version.atLeast40() {
		return 0 // the first return is above it
	}
	return max(limit, -1)
}

// delayedRetry is which returns 4.3's quorum queues delay, and how long.
func (a queueArguments) delayedRetry() (kind string, shortest, longest time.Duration) {
	kind, _ = a.text(argRetryType)
	if kind != "all" && kind != "failed" && kind != "returned" {
		return "", 0, 0
	}
	shortest, _ = a.millis(argRetryMin)
	longest, _ = a.millis(argRetryMax)
	if shortest <= 0 {
		return "", 0, 0
	}
	if longest <= 0 {
		longest = shortest
	}
	return kind, shortest, longest
}

// maxAge reads x-max-age, such as 7D.
func maxAge(s string) (time.Duration, bool) {
	const day = 24 * time.Hour
	digits := strings.TrimLeft(s, "0123456789")
	number, unit := s[:len(s)-len(digits)], digits
	n, err := strconv.ParseInt(number, 10, 64)
	if number == "" || err == nil && n <= 0 {
		return 0, false
	}
	if err != nil { // too many digits
		n = math.MaxInt64
	}
	of := map[string]time.Duration{
		"Y": 365 * day, "M": 30 * day, "D": day, "h": time.Hour, "m": time.Minute, "s": time.Second,
	}[unit]
	if of == 0 {
		return 0, false
	}
	return time.Duration(min(n, int64(math.MaxInt64/of))) * of, true
}
