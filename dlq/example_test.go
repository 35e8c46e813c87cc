package dlq_test

import (
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/dlq"
)

// A letter that RabbitMQ dead-lettered by itself has no story, but x-death.
func ExampleParse() {
	letter := dlq.Parse(amqp.Delivery{
		MessageId: "42",
		Headers: amqp.Table{"x-death": []any{amqp.Table{
			"queue": "orders", "reason": "delivery_limit", "exchange": "shop", "routing-keys": []any{"order.placed"},
			"count": int64(1), "time": time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		}}},
	})
	fmt.Println(letter.Queue, letter.Reason, letter.Attempts, letter.DeadAt.Format(time.TimeOnly))
	// Output:
	// orders delivery_limit 0 12:00:00
}
