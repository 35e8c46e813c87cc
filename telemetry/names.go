package telemetry

import (
	"context"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// maxNames bounds what is remembered: routing keys may be without number.
const maxNames = 1000

// place is where an operation is done.
type place struct{ op, exchange, key, queue string }

// named is how the spans of an operation at a place begin.
type named struct {
	name       string
	root       []trace.SpanStartOption // the kind and the attributes; never appended to in place
	child      []trace.SpanStartOption // the kind alone
	attributes []attribute.KeyValue
}

// start begins a span. A sampler decides by its attributes where it begins a trace.
// Elsewhere its parent's decision stands, and later must be told the attributes that
// it gets at its end: at the start they would cost as much as all else of the span.
func (n *named) start(ctx context.Context, tracer trace.Tracer, root bool, more ...trace.SpanStartOption) (in context.Context, span trace.Span, later []attribute.KeyValue) {
	options, later := n.child, n.attributes
	if root {
		options, later = n.root, nil
	}
	if len(more) > 0 {
		options = append(options, more...)
	}
	in, span = tracer.Start(ctx, n.name, options...)
	return in, span, later
}

// names remembers them: they are the same for each message, and are made but once.
type names struct {
	mu    sync.RWMutex
	known map[place]*named
}

func (n *names) of(p place, build func(place) *named) *named {
	n.mu.RLock()
	it, ok := n.known[p]
	n.mu.RUnlock()
	if ok {
		return it
	}
	it = build(p)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil || len(n.known) >= maxNames {
		n.known = make(map[place]*named)
	}
	n.known[p] = it
	return it
}

// name makes the beginning of a span of this kind, with the attributes by which a
// sampler may decide.
func name(name string, kind trace.SpanKind, attributes ...attribute.KeyValue) *named {
	options := []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithAttributes(attributes...)}
	return &named{name: name, root: options[:2:2], child: options[:1:1], attributes: attributes}
}

// nameSend names the span of a publish: by the queue that it is for, where there is
// one, else by the exchange. Routing keys are without number, so none is in a name.
func nameSend(p place) *named {
	target := p.queue
	temporary := false
	switch {
	case target != "":
	case p.exchange != "":
		target = p.exchange
	case p.op == opReply || isTemporary(p.key):
		temporary = true
	default: // the default exchange: a queue's name
		target = p.key
	}
	kind := typeSend
	if p.op == opCreate {
		kind = typeCreate
	}
	attributes := []attribute.KeyValue{system, keyOperation.String(p.op), kind, keyDestination.String(destination(p.exchange, p.key, ""))}
	if temporary {
		attributes = append(attributes, keyTemporary.Bool(true))
	}
	if p.queue != "" {
		attributes = append(attributes, keyQueue.String(clean(p.queue)))
	}
	return name(spanName(p.op, target), trace.SpanKindProducer, attributes...)
}

// nameReceive names the span in which a letter is taken from its queue.
func nameReceive(p place) *named {
	return name(spanName(p.op, p.queue), trace.SpanKindClient, system, keyOperation.String(p.op), typeReceive,
		keyDestination.String(clean(p.queue)), keyQueue.String(clean(p.queue)))
}

// nameProcess names the span of an attempt.
func nameProcess(p place) *named {
	return name(spanName(p.op, stable(p.queue)), trace.SpanKindConsumer, consumed(p, typeProcess)...)
}

// nameSettle names the span of a settlement.
func nameSettle(p place) *named {
	return name(spanName(p.op, stable(p.queue)), trace.SpanKindClient, consumed(p, typeSettle)...)
}

// nameDelay names the span in which a message waits on the delay ladder.
func nameDelay(p place) *named {
	return name(spanName(p.op, p.queue), trace.SpanKindInternal, system, keyOperation.String(p.op),
		keyDestination.String(clean(p.queue)), keyQueue.String(clean(p.queue)))
}

func consumed(p place, kind attribute.KeyValue) []attribute.KeyValue {
	attributes := []attribute.KeyValue{system, keyOperation.String(p.op), kind, keyDestination.String(destination(p.exchange, p.key, p.queue))}
	if p.queue != "" {
		attributes = append(attributes, keyQueue.String(clean(p.queue)))
	}
	if isTemporary(p.queue) {
		attributes = append(attributes, keyTemporary.Bool(true))
	}
	return attributes
}

// stable is a queue's name for the name of a span, "" of one that the server has named.
func stable(queue string) string {
	if isTemporary(queue) {
		return ""
	}
	return queue
}

// destination is what the conventions for RabbitMQ make of it: exchange, routing key
// and, of what is consumed, queue; without what is empty or said already.
func destination(exchange, key, queue string) string {
	parts := make([]string, 0, 3)
	for _, part := range [...]string{exchange, key} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if queue != "" && queue != key {
		parts = append(parts, queue)
	}
	if len(parts) == 0 {
		return "amq.default"
	}
	return clean(strings.Join(parts, ":"))
}

// isTemporary tells a queue that the server has named, or direct reply-to: each is
// another one.
func isTemporary(queue string) bool {
	return strings.HasPrefix(queue, "amq.gen-") || strings.HasPrefix(queue, "amq.rabbitmq.reply-to")
}

func spanName(op, target string) string {
	if target == "" {
		return op
	}
	return op + " " + clean(target)
}

// clean makes a text fit for an exporter: one string that is not UTF-8 fails all
// that goes with it.
func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
