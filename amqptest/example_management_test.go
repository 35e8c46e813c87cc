package amqptest_test

import (
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/hareline/hareline/amqptest"
)

// The management API without a socket.
func ExampleBroker_ManagementHandler() {
	b, err := amqptest.Start("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	ch := channel(b)
	declare(ch, "orders", nil)
	publish(ch, "orders", "one")

	r := httptest.NewRequest("GET", "/api/queues/%2F/orders?columns=name,type,messages", nil)
	r.SetBasicAuth("guest", "guest")
	w := httptest.NewRecorder()
	b.ManagementHandler().ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output: 200 {"messages":1,"name":"orders","type":"classic"}
}
