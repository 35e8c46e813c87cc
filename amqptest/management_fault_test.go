package amqptest

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

// TestManagementPublishUnderFaults: the API's publishes meet faults, and the
// answer is true.
func TestManagementPublishUnderFaults(t *testing.T) {
	for do, want := range map[Effect]struct {
		status, stored int
	}{
		DropBefore:      {503, 0},
		DropAfter:       {503, 1},
		Nack:            {400, 0},
		CloseChannel:    {400, 0},
		CloseConnection: {400, 0},
		HoldConfirm:     {200, 1},
		Stall:           {200, 1},
	} {
		t.Run(string(do), func(t *testing.T) {
			b := New(t)
			call[*wire.QueueDeclareOk](dialRaw(t, b), &wire.QueueDeclare{Queue: "q", Durable: true})
			n := inject(t, b, Fault{Do: do, On: "basic.publish"})
			r := httptest.NewRequest("POST", "/api/exchanges/%2F/amq.default/publish",
				strings.NewReader(`{"properties":{},"routing_key":"q","payload":"x","payload_encoding":"string"}`))
			r.SetBasicAuth("guest", "guest")
			w := httptest.NewRecorder()
			b.ManagementHandler().ServeHTTP(w, r)
			if stored := len(b.Messages("/", "q")); w.Code != want.status || stored != want.stored || n.Hits() != 1 {
				t.Errorf("answered %d %s, %d stored, %d hits; want %d, %d stored", w.Code, w.Body, stored, n.Hits(), want.status, want.stored)
			}
		})
	}
}
