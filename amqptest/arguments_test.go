package amqptest

import (
	"strings"
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

// All texts are those of 3.10.8, 4.0.5 and 4.3.6. testdata/scenarios has more.
func TestQueueArgumentsRefused(t *testing.T) {
	const (
		fine  = ""
		crash = "connection: INTERNAL_ERROR"
		notQ  = "of queue type rabbit_quorum_queue"
		notC  = "of queue type rabbit_classic_queue"
		notS  = "of queue type rabbit_stream_queue"
	)
	for _, c := range []struct {
		kind, name     string
		value          any
		v310, v40, v43 string // what comes after "invalid arg ... in vhost '/'", or the whole
	}{
		{"classic", "x-expires", int32(0), ": {value_zero,0}", "=", "="},
		{"classic", "x-expires", int32(-1), ": {value_negative,-1}", "=", "="},
		{"classic", "x-expires", int64(315_360_000_001), ": {value_too_large,315360000001}", "=", "="},
		{"quorum", "x-expires", "5", `: "expected integer, got longstr"`, "=", "="},
		{"stream", "x-expires", int32(5), " " + notS, "=", "="},
		{"classic", "x-message-ttl", int32(0), fine, "=", "="},
		{"classic", "x-message-ttl", 1.5, `: "expected integer, got double"`, "=", "="},
		{"quorum", "x-message-ttl", nil, `: "expected integer, got void"`, "=", "="},
		{"classic", "x-dead-letter-exchange", int32(1),
			"PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'", "=", "="},
		{"classic", "x-dead-letter-routing-key", "k", ": routing_key_but_no_dlx_defined", "=", "="},
		{"quorum", "x-dead-letter-routing-key", int32(1), ": {unacceptable_type,signedint}", "=", "="},
		{"quorum", "x-dead-letter-strategy", "bogus", ": invalid_dlx_strategy", "=", "="},
		{"classic", "x-dead-letter-strategy", "at-least-once", " " + notC, "=", "="},
		{"classic", "x-max-length", int32(-1), ": {value_negative,-1}", "=", "="},
		{"classic", "x-max-in-memory-length", int32(1), " " + notC, "=", "="},
		{"quorum", "x-max-in-memory-bytes", int32(1), fine, "=", "="},
		{"classic", "x-max-priority", int32(256), ": {max_value_exceeded,256}", "=", "="},
		{"quorum", "x-max-priority", int32(5), " " + notQ, "=", "="},
		{"quorum", "x-overflow", "bogus", ": invalid_overflow", "=", "="},
		{"quorum", "x-overflow", "reject-publish-dlx", fine, "=", "="},
		{"classic", "x-queue-mode", "bogus", `: "unsupported queue mode 'bogus'"`, "=", fine},
		{"classic", "x-queue-version", int32(1), fine, "=", `: "unsupported queue version '1'"`},
		{"classic", "x-queue-version", int32(3), `: "unsupported queue version '3'"`, "=", "="},
		{"classic", "x-single-active-consumer", "true", ": {unacceptable_type,longstr}", "=", "="},
		{"bogus", "x-unknown", int32(1), `: "unsupported queue type 'bogus'"`, "=", "="},
		{"undefined", "x-unknown", int32(1), `: "unsupported queue type 'undefined'"`, fine, fine},
		{"", "x-unknown", int32(1), `: "unsupported queue type ''"`, "=", fine},
		{"quorum", "x-unknown", int32(1), fine, "=", "="},
		{"quorum", "x-quorum-initial-group-size", int32(0), ": {value_zero,0}", "=", "="},
		{"quorum", "x-delivery-limit", "anything", fine, "=", "="},
		{"classic", "x-delivery-limit", int32(5), " " + notC, "=", "="},
		{"stream", "x-max-age", "1x", ": invalid_max_age", "=", "="},
		{"stream", "x-max-age", "h", crash, "=", ": invalid_max_age"},
		{"stream", "x-max-age", "7D", fine, "=", "="},
		{"classic", "x-max-age", "7D", " " + notC, "=", "="},
		{"stream", "x-stream-max-segment-size-bytes", int64(3_000_000_001),
			"PRECONDITION_FAILED - Exceeded max value for x-stream-max-segment-size-bytes", "=", "="},
		{"stream", "x-stream-filter-size-bytes", int32(15), fine,
			"PRECONDITION_FAILED - Invalid value for  x-stream-filter-size-bytes",
			"PRECONDITION_FAILED - Invalid value for x-stream-filter-size-bytes"},
		{"stream", "x-stream-filter-size-bytes", "a", fine,
			"PRECONDITION_FAILED - Invalid value for  x-stream-filter-size-bytes", `: "expected integer, got longstr"`},
		{"classic", "x-stream-filter-size-bytes", int32(15), fine, "=", " " + notC},
		{"classic", "x-queue-leader-locator", "balanced", " " + notC, fine, fine},
		{"quorum", "x-queue-leader-locator", "min-masters", ": invalid_queue_locator_arg", fine, fine},
		{"quorum", "x-consumer-timeout", int32(-1), fine, "=", ": {value_negative,-1}"},
		{"classic", "x-consumer-timeout", int32(1), fine, "=", " " + notC},
		{"quorum", "x-delayed-retry-type", "bogus", fine, "=", "="},
		{"classic", "x-delayed-retry-type", "all", fine, "=", " " + notC},
		{"classic", "x-queue-master-locator", "bogus", crash, fine, "connection: INTERNAL_ERROR - Feature `queue_master_locator` is deprecated.*"},
	} {
		if c.v40 == "=" {
			c.v40 = c.v310
		}
		if c.v43 == "=" {
			c.v43 = c.v40
		}
		for v, want := range map[Version]string{V310: c.v310, V40: c.v40, V43: c.v43} {
			p := newTopology(t, Config{Version: v})
			name := c.name
			if strings.Contains(want, "unsupported queue type") {
				name = "x-queue-type"
			}
			if strings.HasPrefix(want, ":") || strings.HasPrefix(want, " ") {
				want = "PRECONDITION_FAILED - invalid arg '" + name + "' for queue 'q' in vhost '/'" + want
			}
			got := p.do(declareQueue("q", "x-queue-type", c.kind, c.name, c.value))
			if prefix, ok := strings.CutSuffix(want, "*"); ok && strings.HasPrefix(got, prefix) {
				continue
			}
			if got != want {
				t.Errorf("%s: %s, %s=%v:\n got %q\nwant %q", v, c.kind, c.name, c.value, got, want)
			}
		}
	}
}

// RabbitMQ checks arguments in an order of its own, and whether the type has
// them in that of the declaration.
func TestFirstBadArgumentIsNamed(t *testing.T) {
	eachTopology(t, func(_ *testing.T, _ Version, p *topology) {
		p.refused("PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'q' in vhost '/': {value_zero,0}",
			declareQueue("q", "x-max-length", "a", "x-overflow", "zz", "x-expires", int32(0)))
		p.refused("PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue",
			declareQueue("q", "x-queue-type", "quorum", "x-max-priority", int32(1), "x-max-age", "1h"))
		p.refused("PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'",
			declareQueue("q", "x-queue-type", "bogus", "x-dead-letter-exchange", int32(1)))
	})
}

func TestQueueProperties(t *testing.T) {
	const invalid = "PRECONDITION_FAILED - invalid property '"
	eachTopology(t, func(_ *testing.T, _ Version, p *topology) {
		for _, kind := range []string{"quorum", "stream"} {
			args := table("x-queue-type", kind)
			p.refused(invalid+"auto-delete' for queue 'q' in vhost '/'", &wire.QueueDeclare{Queue: "q", AutoDelete: true, Exclusive: true, Arguments: args})
			p.refused(invalid+"exclusive-owner' for queue 'q' in vhost '/'", &wire.QueueDeclare{Queue: "q", Durable: true, Exclusive: true, Arguments: args})
			p.refused(invalid+"non-durable' for queue 'q' in vhost '/'", &wire.QueueDeclare{Queue: "q", Arguments: args})
		}
		p.must(&wire.QueueDeclare{Queue: "q", AutoDelete: true, Exclusive: true})
	})
}

func optionsOf(t *testing.T, v Version, kind queueKind, args ...any) queueOptions {
	t.Helper()
	got, options, err := readQueueArguments(v, "queue 'q'", queueProperties{durable: true}, table(append([]any{"x-queue-type", string(kind)}, args...)...))
	if err != nil || got != kind {
		t.Fatalf("%s %v: kind %s, error %v", kind, args, got, err)
	}
	return options
}

func TestQueueOptions(t *testing.T) {
	bare := queueOptions{maxLength: -1, maxBytes: -1, deliveryLimit: -1, overflow: dropHead}
	for _, c := range []struct {
		name    string
		version Version
		kind    queueKind
		args    []any
		want    func(o *queueOptions)
	}{
		{"classic", V40, classic, nil, func(*queueOptions) {}},
		{"times", V40, classic, []any{"x-message-ttl", int16(5), "x-expires", int64(7)},
			func(o *queueOptions) { o.hasTTL, o.ttl, o.expires = true, 5*time.Millisecond, 7*time.Millisecond }},
		{"ttl 0", V40, classic, []any{"x-message-ttl", int32(0)}, func(o *queueOptions) { o.hasTTL = true }},
		{"bounds", V43, classic, []any{"x-max-length", int32(3), "x-max-length-bytes", int32(9), "x-overflow", "reject-publish-dlx"},
			func(o *queueOptions) { o.maxLength, o.maxBytes, o.overflow = 3, 9, rejectPublishDLX }},
		{"dead letters", V40, classic, []any{"x-dead-letter-exchange", "", "x-dead-letter-routing-key", "k"},
			func(o *queueOptions) { o.hasDLX, o.hasDLK, o.dlk = true, true, "k" }},
		{"priorities", V40, classic, []any{"x-max-priority", int32(9), "x-single-active-consumer", true},
			func(o *queueOptions) { o.maxPriority, o.singleActive = 9, true }},
		{"no priority", V310, classic, []any{"x-max-priority", int32(0)}, func(*queueOptions) {}},
		{"the least priority", V40, classic, []any{"x-max-priority", int32(0)}, func(o *queueOptions) { o.maxPriority = 1 }},
		{"quorum 3.10", V310, quorum, nil, func(*queueOptions) {}},
		{"quorum", V40, quorum, nil, func(o *queueOptions) { o.deliveryLimit = 20 }},
		{"a limit", V43, quorum, []any{"x-delivery-limit", int32(3)}, func(o *queueOptions) { o.deliveryLimit = 3 }},
		{"no limit", V43, quorum, []any{"x-delivery-limit", int32(-5)}, func(*queueOptions) {}},
		{"a limit of text", V40, quorum, []any{"x-delivery-limit", "3"}, func(*queueOptions) {}},
		{"a void limit", V40, quorum, []any{"x-delivery-limit", nil}, func(o *queueOptions) { o.deliveryLimit = 20 }},
		{"a float limit", V40, quorum, []any{"x-delivery-limit", 1.5}, func(o *queueOptions) { o.deliveryLimit = 1 }},
		{"3.10 has no negative limit", V310, quorum, []any{"x-delivery-limit", int32(-1)}, func(o *queueOptions) { o.deliveryLimit = 0 }},
		{"at least once", V40, quorum, []any{"x-dead-letter-exchange", "x", "x-dead-letter-strategy", "at-least-once", "x-overflow", "reject-publish"},
			func(o *queueOptions) {
				o.deliveryLimit, o.hasDLX, o.dlx, o.atLeastOnce, o.overflow = 20, true, "x", true, rejectPublish
			}},
		{"at least once needs to reject", V40, quorum, []any{"x-dead-letter-exchange", "x", "x-dead-letter-strategy", "at-least-once"},
			func(o *queueOptions) { o.deliveryLimit, o.hasDLX, o.dlx = 20, true, "x" }},
		{"quorum does not reject and dead-letter", V40, quorum, []any{"x-overflow", "reject-publish-dlx"},
			func(o *queueOptions) { o.deliveryLimit = 20 }},
		{"delayed retry", V43, quorum, []any{"x-delayed-retry-type", "all", "x-delayed-retry-min", int32(5)},
			func(o *queueOptions) {
				o.deliveryLimit, o.delayedRetry, o.delayedRetryMin, o.delayedRetryMax = 20, "all", 5*time.Millisecond, 5*time.Millisecond
			}},
		{"delayed retry without a delay", V43, quorum, []any{"x-delayed-retry-type", "all"}, func(o *queueOptions) { o.deliveryLimit = 20 }},
		{"delayed retry in 4.0", V40, quorum, []any{"x-delayed-retry-type", "all", "x-delayed-retry-min", int32(5)},
			func(o *queueOptions) { o.deliveryLimit = 20 }},
		{"consumer timeout", V43, quorum, []any{"x-consumer-timeout", int32(5000)},
			func(o *queueOptions) { o.deliveryLimit, o.consumerTimeout = 20, 5*time.Second }},
		{"stream", V40, stream, nil, func(o *queueOptions) { o.overflow, o.segmentBytes = "", 500_000_000 }},
		{"stream retention", V40, stream, []any{"x-max-age", "2h", "x-max-length-bytes", int32(9), "x-stream-max-segment-size-bytes", int32(5)},
			func(o *queueOptions) { o.overflow, o.maxAge, o.maxBytes, o.segmentBytes = "", 2*time.Hour, 9, 5 }},
	} {
		want := bare
		c.want(&want)
		if got := optionsOf(t, c.version, c.kind, c.args...); got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, want)
		}
	}
}

func TestMaxAge(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"1s": time.Second, "2m": 2 * time.Minute, "3h": 3 * time.Hour, "4D": 96 * time.Hour,
		"1M": 720 * time.Hour, "1Y": 8760 * time.Hour, "0s": 0, "s": 0, "": 0, "5": 0, "5d": 0, "-5s": 0, "5ss": 0,
	} {
		if got, ok := maxAge(s); got != want || ok != (want > 0) {
			t.Errorf("%q: %v, %v", s, got, ok)
		}
	}
	if got, ok := maxAge("99999999999999999999Y"); !ok || got <= 0 {
		t.Errorf("a long time: %v, %v", got, ok)
	}
}

func FuzzQueueArguments(f *testing.F) {
	f.Add(wire.AppendTable(nil, table("x-queue-type", "quorum", "x-delivery-limit", 1.5))[4:], uint8(0))
	f.Add(wire.AppendTable(nil, table("x-queue-type", "stream", "x-max-age", "1h"))[4:], uint8(1))
	f.Add(wire.AppendTable(nil, table("x-max-priority", int32(5), "x-message-ttl", []any{nil}))[4:], uint8(2))
	f.Fuzz(func(t *testing.T, encoded []byte, version uint8) {
		args, err := wire.DecodeTable(encoded)
		if err != nil {
			return
		}
		v := []Version{V310, V40, V43}[version%3]
		kind, options, refused := readQueueArguments(v, "queue 'q'", queueProperties{durable: true}, args)
		if refused != nil {
			return
		}
		if kind == "" || options.ttl < 0 || options.expires < 0 || options.maxLength < -1 || options.deliveryLimit < -1 ||
			options.delayedRetryMax < 0 || options.maxAge < 0 {
			t.Errorf("%s: %+v", kind, options)
		}
	})
}
