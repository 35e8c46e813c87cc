package amqptest

import (
	"slices"
	"strconv"

	"github.com/hareline/hareline/internal/wire"
)

// The arguments of queues, as queue.declare has them.
const (
	argQueueType       = "x-queue-type"
	argExpires         = "x-expires"
	argTTL             = "x-message-ttl"
	argDLX             = "x-dead-letter-exchange"
	argDLK             = "x-dead-letter-routing-key"
	argDLStrategy      = "x-dead-letter-strategy"
	argMaxLength       = "x-max-length"
	argMaxBytes        = "x-max-length-bytes"
	argMaxInMemory     = "x-max-in-memory-length"
	argMaxInMemBytes   = "x-max-in-memory-bytes"
	argMaxPriority     = "x-max-priority"
	argOverflow        = "x-overflow"
	argQueueMode       = "x-queue-mode"
	argQueueVersion    = "x-queue-version"
	argSingleActive    = "x-single-active-consumer"
	argDeliveryLimit   = "x-delivery-limit"
	argGroupSize       = "x-quorum-initial-group-size"
	argMaxAge          = "x-max-age"
	argSegmentSize     = "x-stream-max-segment-size-bytes"
	argFilterSize      = "x-stream-filter-size-bytes"
	argClusterSize     = "x-initial-cluster-size"
	argLeaderLocator   = "x-queue-leader-locator"
	argMasterLocator   = "x-queue-master-locator"
	argConsumerTimeout = "x-consumer-timeout"
	argDisconnected    = "x-consumer-disconnected-timeout"
	argRetryType       = "x-delayed-retry-type"
	argRetryMin        = "x-delayed-retry-min"
	argRetryMax        = "x-delayed-retry-max"
)

// arguments are the arguments that queues of a kind have in a version, in the
// order in which RabbitMQ compares those of an equivalent declaration.
func (k queueKind) arguments(v Version) []string {
	switch k {
	case classic:
		all := []string{
			argExpires, argTTL, argDLX, argDLK, argMaxLength, argMaxBytes, argMaxPriority, argOverflow,
			argQueueMode, argQueueVersion, argSingleActive, argQueueType, argMasterLocator,
		}
		if v.atLeast40() {
			all = append(all, argLeaderLocator)
		}
		return all
	case quorum:
		all := []string{
			argDLX, argDLK, argDLStrategy, argExpires, argMaxLength, argMaxBytes, argMaxInMemory, argMaxInMemBytes,
			argOverflow, argSingleActive, argQueueType, argGroupSize, argDeliveryLimit, argTTL, argLeaderLocator,
		}
		if v.atLeast43() {
			all = append(all, argDisconnected, argConsumerTimeout, argRetryType, argRetryMin, argRetryMax)
		}
		return all
	default:
		all := []string{argMaxBytes, argQueueType, argMaxAge, argSegmentSize}
		if v.atLeast43() {
			all = append(all, argFilterSize)
		}
		return append(all, argClusterSize, argLeaderLocator)
	}
}

// module is RabbitMQ's name for the kind in some texts.
func (k queueKind) module() string { return "rabbit_" + string(k) + "_queue" }

// queueArguments looks at the arguments of a queue that is to be declared.
type queueArguments struct {
	version Version
	table   wire.Table
	queue   string // as texts name it
}

// argumentCheck says why a value will not do, as an Erlang term; nil: it will.
type argumentCheck struct {
	name  string
	check func(a queueArguments, value any) any
}

// argumentChecks are in the order in which RabbitMQ makes them. An argument
// that has none, such as x-delivery-limit, may have any value.
var argumentChecks = []argumentCheck{
	{argExpires, checkExpires},
	{argTTL, checkTTL},
	{argDLX, func(_ queueArguments, v any) any { _, why := checkText(v); return why }},
	{argDLK, checkDLK},
	{argDLStrategy, oneOf("invalid_dlx_strategy", "at-most-once", "at-least-once")},
	{argMaxLength, checkNotNegative},
	{argMaxBytes, checkNotNegative},
	{argMaxInMemory, checkNotNegative},
	{argMaxInMemBytes, checkNotNegative},
	{argMaxPriority, checkMaxPriority},
	{argOverflow, oneOf("invalid_overflow", "drop-head", "reject-publish", "reject-publish-dlx")},
	{argQueueMode, checkQueueMode},
	{argQueueVersion, checkQueueVersion},
	{argSingleActive, checkBool},
	{argConsumerTimeout, checkNotNegative},
	{argDisconnected, checkNotNegative},
	{argGroupSize, checkPositive},
	{argMaxAge, checkMaxAge},
	{argSegmentSize, checkNotNegative},
	{argFilterSize, checkNotNegative},
	{argClusterSize, checkPositive},
	{argLeaderLocator, checkLeaderLocator},
}

// check refuses what queues of the kind cannot have.
func (a queueArguments) check(kind queueKind) *amqpError {
	own := kind.arguments(a.version)
	for _, c := range argumentChecks {
		if v, ok := a.table.Get(c.name); ok && slices.Contains(own, c.name) {
			if why := c.check(a, v); why != nil {
				return a.invalid(c.name, why)
			}
		}
	}
	var others []string
	for _, k := range []queueKind{classic, quorum, stream} {
		others = append(others, k.arguments(a.version)...)
	}
	for _, f := range a.table {
		if slices.Contains(others, f.Key) && !slices.Contains(own, f.Key) {
			return softError(codePreconditionFailed, "invalid arg '%s' for %s of queue type %s", f.Key, a.queue, kind.module())
		}
	}
	return nil
}

func (a queueArguments) invalid(name string, why any) *amqpError {
	if why == crashed {
		return crashError()
	}
	return softError(codePreconditionFailed, "invalid arg '%s' for %s: %s", name, a.queue, termOf(a.version, why))
}

// crashed is the answer of a check at which RabbitMQ itself fails.
const crashed = termAtom("crashed")

// crash is the error of a RabbitMQ that failed, and not the client.
func crashError() *amqpError {
	return &amqpError{code: codeInternalError, text: codeNames[codeInternalError], hard: true, crash: true}
}

// kind reads x-queue-type.
func (a queueArguments) kind() (queueKind, *amqpError) {
	v, ok := a.table.Get(argQueueType)
	if !ok {
		return classic, nil
	}
	s, why := checkText(v)
	if why != nil {
		return "", a.invalid(argQueueType, why)
	}
	switch k := queueKind(s); {
	case k == classic || k == quorum || k == stream:
		return k, nil
	case s == "undefined" && a.version.atLeast40(), s == "" && a.version.atLeast43():
		return classic, nil
	}
	return "", a.invalid(argQueueType, termString("unsupported queue type '"+s+"'"))
}

func unacceptable(v any) any { return termTuple{termAtom("unacceptable_type"), fieldType(v)} }

func wrongNumber(why string, n int64) any { return termTuple{termAtom(why), n} }

func checkText(v any) (string, any) {
	s, ok := v.(string)
	if !ok {
		return "", unacceptable(v)
	}
	return s, nil
}

func checkInt(v any) (int64, any) {
	n, ok := wire.Int(v)
	if !ok {
		return 0, termString("expected integer, got " + string(fieldType(v)))
	}
	return n, nil
}

func checkNotNegative(_ queueArguments, v any) any {
	n, why := checkInt(v)
	if why == nil && n < 0 {
		why = wrongNumber("value_negative", n)
	}
	return why
}

func checkPositive(a queueArguments, v any) any {
	why := checkNotNegative(a, v)
	if n, _ := wire.Int(v); why == nil && n == 0 {
		why = wrongNumber("value_zero", 0)
	}
	return why
}

func checkTTL(a queueArguments, v any) any {
	const tenYears = 315_360_000_000 // in ms, RabbitMQ's limit
	why := checkNotNegative(a, v)
	if n, _ := wire.Int(v); why == nil && n > tenYears {
		why = wrongNumber("value_too_large", n)
	}
	return why
}

func checkExpires(a queueArguments, v any) any {
	if n, ok := wire.Int(v); ok && n == 0 {
		return wrongNumber("value_zero", 0)
	}
	return checkTTL(a, v)
}

func checkMaxPriority(a queueArguments, v any) any {
	const limit = 255
	why := checkNotNegative(a, v)
	if n, _ := wire.Int(v); why == nil && n > limit {
		why = wrongNumber("max_value_exceeded", n)
	}
	return why
}

func checkDLK(a queueArguments, v any) any {
	if _, why := checkText(v); why != nil {
		return why
	}
	if _, ok := a.table.Get(argDLX); !ok {
		return termAtom("routing_key_but_no_dlx_defined")
	}
	return nil
}

// oneOf allows some texts, and says why for others.
func oneOf(why termAtom, texts ...string) func(queueArguments, any) any {
	return func(_ queueArguments, v any) any {
		s, wrong := checkText(v)
		if wrong != nil {
			return wrong
		}
		if !slices.Contains(texts, s) {
			return why
		}
		return nil
	}
}

// checkQueueMode: 4.3 has the argument for equivalence only.
func checkQueueMode(a queueArguments, v any) any {
	if a.version.atLeast43() {
		return nil
	}
	s, why := checkText(v)
	if why == nil && s != "default" && s != "lazy" {
		why = termString("unsupported queue mode '" + s + "'")
	}
	return why
}

func checkQueueVersion(a queueArguments, v any) any {
	why := checkNotNegative(a, v)
	if n, _ := wire.Int(v); why == nil && n != 2 && (n != 1 || a.version.atLeast43()) {
		why = termString("unsupported queue version '" + strconv.FormatInt(n, 10) + "'")
	}
	return why
}

func checkBool(_ queueArguments, v any) any {
	if _, ok := v.(bool); !ok {
		return unacceptable(v)
	}
	return nil
}

func checkMaxAge(a queueArguments, v any) any {
	s, why := checkText(v)
	if why != nil {
		return why
	}
	if _, ok := maxAge(s); ok {
		return nil
	}
	// Up to 4.0, RabbitMQ reads the number even where there is none.
	if !a.version.atLeast43() && (s == "" || s[0] < '0' || s[0] > '9') {
		return crashed
	}
	return termAtom("invalid_max_age")
}

func checkLeaderLocator(a queueArguments, v any) any {
	if v == "min-masters" && a.version.atLeast40() {
		return nil
	}
	return oneOf("invalid_queue_locator_arg", "client-local", "balanced", "random", "least-leaders")(a, v)
}
