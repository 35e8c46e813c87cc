package consumer

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/story"
)

// Route is how a delivery really reached the queue, before its first route was
// restored from its story.
type Route struct {
	Exchange, Key string
	Priority      uint8
}

type routeKey struct{}

// RawRoute gives the route a delivery really took, when the consumer restored
// another one from its story; false when d's own fields are the real ones.
func RawRoute(ctx context.Context) (Route, bool) {
	r, ok := ctx.Value(routeKey{}).(Route)
	return r, ok
}

// contextFor restores exchange, routing key and priority of the first
// delivery: a handler that switches on the routing key must see the same one
// on every attempt (R 13). A story of another queue, which a user forwarded
// with the headers, is not ours to apply.
func (s *session) contextFor(d *amqp.Delivery) context.Context {
	d.Acknowledger = nil
	if _, came := d.Headers[story.HeaderOriginQueue]; !came {
		return s.handling
	}
	told, err := story.Read(d.Headers)
	raw := Route{Exchange: d.Exchange, Key: d.RoutingKey, Priority: d.Priority}
	if err != nil || !told.Restore(d, s.r.cfg.Queue) {
		return s.handling
	}
	return context.WithValue(s.handling, routeKey{}, raw)
}
