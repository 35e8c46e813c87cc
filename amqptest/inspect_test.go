package amqptest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestInspectTellsWithoutConsuming(t *testing.T) {
	b := New(t)
	c := dialNamed(t, b, "inspected")
	ch := confirming(t, c, "plain")
	args := amqp.Table{"x-queue-type": "quorum", "x-message-ttl": int16(30000)}
	if _, err := ch.QueueDeclare("work", true, false, false, false, args); err != nil {
		t.Fatal(err)
	}
	if err := ch.ExchangeDeclare("events", "topic", true, false, false, false, amqp.Table{"alternate-exchange": "amq.fanout"}); err != nil {
		t.Fatal(err)
	}
	if err := ch.QueueBind("work", "order.*", "events", false, amqp.Table{"a": int8(1)}); err != nil {
		t.Fatal(err)
	}
	if err := ch.ExchangeBind("amq.direct", "k", "events", false, nil); err != nil {
		t.Fatal(err)
	}
	started := b.Now()
	for i := range 3 {
		d, err := ch.PublishWithDeferredConfirm("events", "order.new", false, false, amqp.Publishing{
			MessageId: fmt.Sprint(i), Body: []byte("body"), Headers: amqp.Table{"n": int32(i), "t": amqp.Table{"deep": "x"}},
			DeliveryMode: 2, ContentType: "text/plain",
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.WaitContext(inTime(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := ch.Qos(1, 0, false); err != nil {
		t.Fatal(err)
	}
	deliveries, err := ch.Consume("work", "me", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-deliveries

	for range 2 { // looking changes nothing
		q, ok := b.Queue("/", "work")
		want := QueueInfo{
			VHost: "/", Name: "work", Type: "quorum", Durable: true, Ready: 2, Unacked: 1, ReadyBytes: 8, UnackedBytes: 4, Consumers: 1,
			Arguments: map[string]any{"x-queue-type": "quorum", "x-message-ttl": int64(30000)},
			LastUsed:  q.LastUsed, Stats: QueueStats{Published: 3, Delivered: 1},
		}
		if !ok || !reflect.DeepEqual(q, want) {
			t.Errorf("got  %+v\nwant %+v", q, want)
		}
	}
	ready := b.Messages("/", "work")
	if len(ready) != 2 || ready[0].MessageID != "1" || ready[1].MessageID != "2" {
		t.Fatalf("ready: %+v", ready)
	}
	m := ready[0]
	if m.Exchange != "events" || m.RoutingKey != "order.new" || string(m.Body) != "body" || m.ContentType != "text/plain" ||
		m.DeliveryMode != 2 || !m.Arrived.Equal(started) || !m.Expires.Equal(started.Add(30*time.Second)) || m.Redelivered ||
		m.Headers["n"] != int64(1) || !reflect.DeepEqual(m.Headers["t"], map[string]any{"deep": "x"}) {
		t.Errorf("message: %+v", m)
	}
	out := b.Unacked("/", "work")
	if len(out) != 1 || out[0].MessageID != "0" || out[0].Consumer != "me" || out[0].DeliveryTag != 1 || out[0].Channel != 1 ||
		out[0].Connection != 1 || !out[0].DeliveredAt.Equal(started) {
		t.Errorf("unacked: %+v", out)
	}
	inspectTopology(t, b)
	inspectClients(t, b)
}

func inspectTopology(t *testing.T, b *Broker) {
	t.Helper()
	var names []string
	for _, x := range b.Exchanges("/") {
		names = append(names, x.Name)
	}
	if got := strings.Join(names, " "); !strings.HasPrefix(got, " amq.direct amq.fanout amq.headers amq.match ") || !strings.HasSuffix(got, " events") {
		t.Errorf("exchanges: %s", got)
	}
	x, ok := b.Exchange("/", "events")
	if !ok || x.Type != "topic" || !x.Durable || x.In != 3 || x.Out != 3 || x.Arguments["alternate-exchange"] != "amq.fanout" {
		t.Errorf("exchange: %+v", x)
	}
	want := []BindingInfo{
		{VHost: "/", Destination: "plain", DestinationType: "queue", RoutingKey: "plain", Arguments: map[string]any{}},
		{VHost: "/", Destination: "work", DestinationType: "queue", RoutingKey: "work", Arguments: map[string]any{}},
		{VHost: "/", Source: "events", Destination: "work", DestinationType: "queue", RoutingKey: "order.*", Arguments: map[string]any{"a": int64(1)}},
		{VHost: "/", Source: "events", Destination: "amq.direct", DestinationType: "exchange", RoutingKey: "k", Arguments: map[string]any{}},
	}
	if got := b.Bindings(""); !reflect.DeepEqual(got, want) {
		t.Errorf("bindings: %+v", got)
	}
}

func inspectClients(t *testing.T, b *Broker) {
	t.Helper()
	conns := b.Connections()
	if len(conns) != 1 || conns[0].ClientName != "inspected" || conns[0].User != "guest" || conns[0].State != "running" ||
		conns[0].Channels != 1 || conns[0].ClientProperties["connection_name"] != "inspected" || conns[0].ConnectedAt.IsZero() {
		t.Errorf("connections: %+v", conns)
	}
	channels := b.Channels()
	if len(channels) != 1 || !channels[0].Confirms || channels[0].Published != 3 || channels[0].Unacked != 1 ||
		channels[0].Consumers != 1 || channels[0].Prefetch != 1 || !channels[0].Flow {
		t.Errorf("channels: %+v", channels)
	}
	consumers := b.Consumers("")
	want := []ConsumerInfo{{
		VHost: "/", Queue: "work", Tag: "me", Connection: 1, Channel: 1, Acks: true, Prefetch: 1, Unacked: 1, Active: true,
		Arguments: map[string]any{},
	}}
	if !reflect.DeepEqual(consumers, want) {
		t.Errorf("consumers: %+v", consumers)
	}
}

func TestInspectWhatIsNotThere(t *testing.T) {
	b := New(t)
	if _, ok := b.Queue("/", "q"); ok {
		t.Error("a queue")
	}
	if _, ok := b.Exchange("no", "x"); ok {
		t.Error("an exchange")
	}
	if len(b.Queues("no"))+len(b.Messages("/", "q"))+len(b.Unacked("no", "q"))+len(b.Held("/", "q"))+len(b.Bindings("no"))+len(b.Consumers("no")) != 0 {
		t.Error("something")
	}
}

func TestInspectedMessagesAreCopies(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	_, _ = publish(t, ch, "q", "body").WaitContext(inTime(t))
	b.Messages("/", "q")[0].Body[0] = 'B'
	if got := bodies(b, "q"); got != "body" {
		t.Error(got)
	}
}

func TestInspectStream(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "other")
	if _, err := ch.QueueDeclare("log", true, false, false, false, amqp.Table{"x-queue-type": "stream"}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		_, _ = publish(t, ch, "log", fmt.Sprint(i)).WaitContext(inTime(t))
	}
	all := b.Messages("/", "log")
	if len(all) != 3 || all[2].Offset != 2 || string(all[2].Body) != "2" || all[2].Arrived.IsZero() {
		t.Errorf("messages: %+v", all)
	}
	if q, _ := b.Queue("/", "log"); q.Type != "stream" || q.Ready != 3 || q.ReadyBytes != 3 {
		t.Errorf("queue: %+v", q)
	}
}

func TestInspectionIsJSON(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "p"), "q")
	_, _ = publish(t, ch, "q", "1").WaitContext(inTime(t))
	for _, v := range []any{b.Queues(""), b.Messages("/", "q"), b.Exchanges(""), b.Bindings(""), b.Connections(), b.Channels(), b.Trace(nil)} {
		text, err := json.Marshal(v)
		if err != nil || !strings.HasPrefix(string(text), "[{") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestDump(t *testing.T) {
	b := New(t)
	ch := confirming(t, dialNamed(t, b, "dumped"), "q")
	if err := ch.ExchangeDeclare("events", "fanout", false, true, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.QueueBind("q", "k k", "events", false, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		_, _ = publish(t, ch, "q", fmt.Sprintf("%d %s", i, strings.Repeat("x", 70*(i%2)))).WaitContext(inTime(t))
	}
	if _, _, err := ch.Get("q", false); err != nil {
		t.Fatal(err)
	}
	if err := ch.Qos(5, 0, false); err != nil {
		t.Fatal(err)
	}
	inject(t, b, Fault{Do: Nack, Name: "never"})
	inject(t, b, Fault{Do: RaiseAlarm, Resource: "disk"})
	dump := b.Dump()
	for _, want := range []string{
		"RabbitMQ 4.0.5, ", "in alarm: disk", "dumped", "1/1  0 consumers  1 unacked  12 published",
		"events  fanout, auto-delete", `events  -> queue q  key="k k"`,
		"queue q, classic: 11 ready, 1 unacked", `unacked: exchange="(AMQP default)" key=q id="0 " at=1/1 tag=1`, `body="0 "`,
		`... (72 bytes)`, "ready: 1 more", "never", "nack on basic.publish  0 hits of 0 seen", "last events", "alarm raised reason=disk",
	} {
		if !strings.Contains(dump, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if t.Failed() {
		t.Log(dump)
	}
}
