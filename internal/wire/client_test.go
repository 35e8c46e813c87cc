package wire

import (
	"errors"
	"io"
	"net"
	"reflect"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// peer is the least of a broker: it answers one client, and keeps what it sent.
type peer struct {
	conn    net.Conn
	r       *Reader
	methods []Method
	headers []Properties
	body    []byte
}

// run answers until the client closes the connection.
func (p *peer) run() error {
	if _, err := p.r.ProtocolHeader(); err != nil {
		return err
	}
	start := &ConnectionStart{0, 9, Table{{"capabilities", Table{{"basic.nack", true}}}}, "PLAIN", "en_US"}
	if err := p.send(0, start); err != nil {
		return err
	}
	for {
		f, err := p.r.Read()
		if err != nil {
			return err
		}
		switch f.Type {
		case FrameHeader:
			_, _, props, err := DecodeHeader(f.Payload)
			if err != nil {
				return err
			}
			properties, err := DecodeProperties(props)
			if err != nil {
				return err
			}
			p.headers = append(p.headers, properties)
		case FrameBody:
			p.body = append(p.body, f.Payload...)
			out := AppendDeliver(nil, f.Channel, &BasicDeliver{"ctag", 1, false, "events", "key"})
			out = AppendHeader(out, f.Channel, uint64(len(p.body)), AppendProperties(nil, &p.headers[0]))
			out = AppendBody(out, f.Channel, p.body, 4096)
			out = AppendAck(out, f.Channel, 1, false)
			if _, err := p.conn.Write(out); err != nil {
				return err
			}
		case FrameMethod:
			m, err := DecodeMethod(f.Payload)
			if err != nil {
				return err
			}
			p.methods = append(p.methods, m)
			if err := p.answer(f.Channel, m); err != nil {
				return err
			}
			if _, ok := m.(*ConnectionClose); ok {
				return nil
			}
		}
	}
}

func (p *peer) send(channel uint16, m Method) error {
	_, err := p.conn.Write(AppendMethod(nil, channel, m))
	return err
}

func (p *peer) answer(channel uint16, m Method) error {
	answers := map[reflect.Type]Method{
		reflect.TypeFor[*ConnectionStartOk](): &ConnectionTune{2047, 131072, 0},
		reflect.TypeFor[*ConnectionOpen]():    &ConnectionOpenOk{},
		reflect.TypeFor[*ConnectionClose]():   &ConnectionCloseOk{},
		reflect.TypeFor[*ChannelOpen]():       &ChannelOpenOk{},
		reflect.TypeFor[*ChannelClose]():      &ChannelCloseOk{},
		reflect.TypeFor[*ExchangeDeclare]():   &ExchangeDeclareOk{},
		reflect.TypeFor[*QueueDeclare]():      &QueueDeclareOk{"orders", 5, 6},
		reflect.TypeFor[*QueueBind]():         &QueueBindOk{},
		reflect.TypeFor[*BasicQos]():          &BasicQosOk{},
		reflect.TypeFor[*BasicConsume]():      &BasicConsumeOk{"ctag"},
		reflect.TypeFor[*ConfirmSelect]():     &ConfirmSelectOk{},
	}
	if a, ok := answers[reflect.TypeOf(m)]; ok {
		return p.send(channel, a)
	}
	return nil
}

// TestAgainstTheClient has amqp091-go read what this package writes, and the
// other way round.
func TestAgainstTheClient(t *testing.T) {
	listener := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer listener.Close()
	p := new(peer)
	done := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			done <- err
			return
		}
		defer conn.Close()
		p.conn, p.r = conn, NewReader(conn)
		p.r.SetLimit(131072)
		done <- p.run()
	}()

	conn := must[*amqp.Connection](t)(amqp.Dial("amqp://user:word@" + listener.Addr().String() + "/vhost"))
	ch := must[*amqp.Channel](t)(conn.Channel())
	if err := ch.ExchangeDeclare("events", "topic", true, false, true, false, amqp.Table{"alternate-exchange": "unrouted"}); err != nil {
		t.Error(err)
	}
	q := must[amqp.Queue](t)(ch.QueueDeclare("orders", true, false, true, false, amqp.Table{"x-max-length": int32(9)}))
	if q.Name != "orders" || q.Messages != 5 || q.Consumers != 6 {
		t.Errorf("the queue is %v", q)
	}
	if err := ch.QueueBind("orders", "order.#", "events", false, nil); err != nil {
		t.Error(err)
	}
	if err := ch.Qos(7, 0, false); err != nil {
		t.Error(err)
	}
	deliveries := must[<-chan amqp.Delivery](t)(ch.Consume("orders", "ctag", false, true, false, false, nil))
	if err := ch.Confirm(false); err != nil {
		t.Error(err)
	}
	sent := publishing()
	confirm := must[*amqp.DeferredConfirmation](t)(ch.PublishWithDeferredConfirm("events", "order.created", true, false, sent))
	if !confirm.Wait() {
		t.Error("the publish was refused")
	}
	d := <-deliveries
	if !reflect.DeepEqual(d.Headers, sent.Headers) || !reflect.DeepEqual(d.Body, sent.Body) || !d.Timestamp.Equal(sent.Timestamp) ||
		d.ContentType != sent.ContentType || d.AppId != sent.AppId || d.Priority != sent.Priority || d.RoutingKey != "key" {
		t.Errorf("got %+v", d)
	}
	if err := d.Nack(true, false); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	p.check(t, sent)
}

func publishing() amqp.Publishing {
	return amqp.Publishing{
		Headers: amqp.Table{
			"bool": true, "int8": int8(-1), "int16": int16(-1), "int32": int32(-1), "int64": int64(-1), "byte": byte(255),
			"float32": float32(1.5), "float64": 1.5, "string": "é", "bytes": []byte{1, 2}, "decimal": amqp.Decimal{Scale: 2, Value: 7},
			"time": time.Unix(1700000000, 0), "table": amqp.Table{"k": "v"}, "array": []any{int32(1), "a", nil}, "nil": nil,
		},
		ContentType: "text/plain", ContentEncoding: "gzip", DeliveryMode: 2, Priority: 9, CorrelationId: "ci", ReplyTo: "rt",
		Expiration: "60", MessageId: "mi", Timestamp: time.Unix(1700000000, 0), Type: "ty", UserId: "ui", AppId: "ai",
		Body: make([]byte, 10000),
	}
}

func (p *peer) check(t *testing.T, sent amqp.Publishing) {
	var got []Method
	for _, m := range p.methods {
		switch m.(type) {
		case *ConnectionStartOk, *ConnectionTuneOk:
		default:
			got = append(got, m)
		}
	}
	want := []Method{
		&ConnectionOpen{"vhost"},
		&ChannelOpen{},
		&ExchangeDeclare{"events", "topic", false, true, false, true, false, Table{{"alternate-exchange", "unrouted"}}},
		&QueueDeclare{"orders", false, true, true, false, false, Table{{"x-max-length", int32(9)}}},
		&QueueBind{"orders", "events", "order.#", false, Table{}},
		&BasicQos{PrefetchCount: 7},
		&BasicConsume{"orders", "ctag", false, false, true, false, Table{}},
		&ConfirmSelect{},
		&BasicPublish{"events", "order.created", true, false},
		&BasicNack{1, true, false},
		&ConnectionClose{200, "kthxbai", 0, 0},
	}
	if !reflect.DeepEqual(got, want) {
		for _, m := range got {
			t.Logf("%#v", m)
		}
		t.Error("the client sent something else")
	}
	h := p.headers[0]
	if h.Flags != flagsAll&^FlagClusterID || h.UserID != "ui" || h.Expiration != "60" || !h.Timestamp.Equal(sent.Timestamp) {
		t.Errorf("the properties are %+v", h)
	}
	headers := Table{
		{"array", []any{int32(1), "a", nil}},
		{"bool", true},
		{"byte", uint8(255)},
		{"bytes", []byte{1, 2}},
		{"decimal", Decimal{2, 7}},
		{"float32", float32(1.5)},
		{"float64", 1.5},
		{"int16", int16(-1)},
		{"int32", int32(-1)},
		{"int64", int64(-1)},
		{"int8", int8(-1)},
		{"nil", nil},
		{"string", "é"},
		{"table", Table{{"k", "v"}}},
		{"time", time.Unix(1700000000, 0).UTC()},
	}
	if got := h.Headers.Sorted(); !reflect.DeepEqual(got, headers) {
		t.Errorf("the headers are %#v", got)
	}
}
