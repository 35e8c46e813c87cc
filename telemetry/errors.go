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
	span.AddEvent(exceptionEvent, trace.WithAttributes(keyExcType.String(clean(story.Class(err))), keyExcMessage.String(text)))
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
	text := t.cfg.Redact(err.Error())
	if len(text) > maxText {
		text = text[:maxText]
	}
	return clean(text)
}
