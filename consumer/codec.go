package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Codec turns values into messages and back. Both methods may be called by
// several goroutines at once.
type Codec[T any] interface {
	// Encode makes a message with body and ContentType; the rest is the caller's.
	Encode(v T) (amqp.Publishing, error)
	// Decode reads a delivery, whose Body it must not change. Its error means
	// that no repetition helps: a body that does not decode, a ContentType that
	// is another's.
	Decode(d amqp.Delivery) (T, error)
}

// Decode makes a handler of a function that takes a decoded body. An error of
// the codec is a *MalformedError.
func Decode[T any](c Codec[T], f func(context.Context, T, amqp.Delivery) error) Handler {
	return func(ctx context.Context, d amqp.Delivery) error {
		v, err := c.Decode(d)
		if err != nil {
			var known *MalformedError
			if !errors.As(err, &known) {
				err = &MalformedError{Problem: fmt.Sprintf("the body does not decode into %T", v), Err: err}
			}
			return err
		}
		return f(ctx, v, d)
	}
}

// JSON is [Decode] with a [JSONCodec].
func JSON[T any](f func(context.Context, T, amqp.Delivery) error) Handler {
	return Decode(JSONCodec[T]{}, f)
}

// JSONCodec is encoding/json. It reads content types of JSON ("application/json",
// "text/json", "+json") and none at all. It does not undo a content encoding:
// that is the business of middleware, such as that of package compress.
type JSONCodec[T any] struct{}

// Encode implements [Codec].
func (JSONCodec[T]) Encode(v T) (amqp.Publishing, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return amqp.Publishing{}, fmt.Errorf("consumer: encode %T as JSON: %w", v, err)
	}
	return amqp.Publishing{ContentType: "application/json", Body: body}, nil
}

// Decode implements [Codec].
func (JSONCodec[T]) Decode(d amqp.Delivery) (T, error) {
	var v T
	if problem := notJSON(d); problem != "" {
		return v, &MalformedError{Problem: problem}
	}
	if err := json.Unmarshal(d.Body, &v); err != nil {
		return v, &MalformedError{Problem: fmt.Sprintf("the body does not decode into %T", v), Err: err}
	}
	return v, nil
}

// Raw is the codec of bodies that are taken as they are, whatever their content
// type.
type Raw struct{}

// Encode implements [Codec].
func (Raw) Encode(body []byte) (amqp.Publishing, error) {
	return amqp.Publishing{ContentType: "application/octet-stream", Body: body}, nil
}

// Decode implements [Codec].
func (Raw) Decode(d amqp.Delivery) ([]byte, error) { return d.Body, nil }

func notJSON(d amqp.Delivery) string {
	if d.ContentEncoding != "" && !strings.EqualFold(d.ContentEncoding, "utf-8") && !strings.EqualFold(d.ContentEncoding, "identity") {
		return fmt.Sprintf("content-encoding %q is not supported", d.ContentEncoding)
	}
	if d.ContentType == "" {
		return ""
	}
	kind, _, err := mime.ParseMediaType(d.ContentType)
	if err != nil || kind != "application/json" && kind != "text/json" && !strings.HasSuffix(kind, "+json") {
		return fmt.Sprintf("content-type %q is not JSON", d.ContentType)
	}
	return ""
}
