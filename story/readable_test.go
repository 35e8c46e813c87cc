package story_test

import (
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/story"
)

// The client reads at most 8192 entries of a table and kills the connection on
// more (amqp091-go v1.16, maxContainerElements). What could be read must stay so,
// with what publisher (1) and broker (x-death, x-first-death-*, x-last-death-*,
// x-delivery-count, x-acquired-count) add.
func TestCopyStaysReadable(t *testing.T) {
	h := amqp.Table{}
	for i := range 8192 {
		h[fmt.Sprintf("%x", i)] = nil
	}
	s := story.Story{OriginQueue: "q", RetryCount: 1, RetryMax: 3, FirstFailedAt: time.Now(), LastError: "no", ErrorClass: "error", OriginExchange: "e", OriginKey: "k"}
	msg, _ := story.Copy(amqp.Delivery{Headers: h}, s, 0)
	if n := len(msg.Headers) + 10; n > 8192 {
		t.Errorf("the copy has %d entries with those of publisher and broker: no Go client can read it", n)
	}
}
