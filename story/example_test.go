package story_test

import (
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/story"
)

// A copy of a delivery carries the story on, and loses what would harm it on its
// way: another user's id, the priority, the broker's own records.
func ExampleCopy() {
	d := amqp.Delivery{
		Exchange: "events", RoutingKey: "video.uploaded", Priority: 5, UserId: "uploader", MessageId: "42",
		Headers: amqp.Table{"tenant": "acme", "x-delivery-count": int64(2)},
		Body:    []byte(`{"id":7}`),
	}
	s, err := story.Of(d, "recommendations", time.Now())
	if err != nil {
		fmt.Println(err)
		return
	}
	s.RetryCount++
	msg, _ := story.Copy(d, s, 0)

	fmt.Println(msg.MessageId, msg.Priority, msg.UserId == "", string(msg.Body))
	fmt.Println(msg.Headers["tenant"], msg.Headers["x-delivery-count"], msg.Headers[story.HeaderRetryCount])
	fmt.Println(msg.Headers[story.HeaderOriginKey], msg.Headers[story.HeaderOriginPriority], msg.Headers[story.HeaderOriginUserID])
	// Output:
	// 42 0 true {"id":7}
	// acme <nil> 1
	// video.uploaded 5 uploader
}

func ExampleRead() {
	_, err := story.Read(amqp.Table{story.HeaderRetryCount: int32(-5)})
	fmt.Println(err)
	// Output:
	// story: header hareline-retry-count (int32 "-5") is negative: remove the header or give it what this release writes
}
