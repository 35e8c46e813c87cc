package telemetry

import (
	"errors"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/hareline/hareline/story"
)

// maxText is how much of an error's text goes into a span.
const maxText = 2 << 10

// recordError makes err the span's status, and an event with its class.
func (t *Telemetry) recordError(span trace.Span, err error) {
	text := t.text(err)
	span.AddEvent(exceptionEvent, trace.WithAttributes(keyExcType.String(classOf(err)), keyExcMessage.String(text)))
	span.SetStatus(codes.Error, text)
}

// text is what a span shows of an error: of a message that is given up, the handler's
// own, for the attempts stand in attributes.
func (t *Telemetry) text(err error) string {
	var dead interface {
		DeadReason() string
		Unwrap() error
	}
	if errors.As(err, &dead) {
		if cause := dead.Unwrap(); cause != nil {
			err = cause
		}
	}
	text := safely(func() string { return t.cfg.Redact(err.Error()) }, "the error's text, or Config.Redact, panicked")
	if len(text) > maxText {
		text = text[:maxText]
	}
	return clean(text)
}

// classOf is story.Class, fit for an exporter.
func classOf(err error) string {
	return clean(safely(func() string { return story.Class(err) }, "error"))
}

// safely calls what may be the program's. Its panic would end a publisher's goroutine,
// or make a failure of an attempt whose copy is under way.
func safely(f func() string, otherwise string) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = otherwise
		}
	}()
	return f()
}
