package amqptest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/hareline/hareline/internal/wire"
)

// TestPublishRefused holds what the three releases answered.
func TestPublishRefused(t *testing.T) {
	expiration := func(s string) wire.Properties {
		return wire.Properties{Flags: wire.FlagExpiration, Expiration: s}
	}
	headers := func(key string, v any) wire.Properties {
		return wire.Properties{Flags: wire.FlagHeaders, Headers: wire.Table{{Key: key, Value: v}}}
	}
	for _, c := range []struct {
		name    string
		publish wire.BasicPublish
		props   wire.Properties
		code    uint16 // 0: it is confirmed
		text    string
	}{
		{"missing exchange", wire.BasicPublish{Exchange: "nope"}, wire.Properties{}, 404, "NOT_FOUND - no exchange 'nope' in vhost '/'"},
		{"internal exchange", wire.BasicPublish{Exchange: "internal"}, wire.Properties{}, 403,
			"ACCESS_REFUSED - cannot publish to internal exchange 'internal' in vhost '/'"},
		{"immediate", wire.BasicPublish{Immediate: true}, wire.Properties{}, 540, "NOT_IMPLEMENTED - immediate=true"},
		{"empty expiration", wire.BasicPublish{}, expiration(""), 406, "PRECONDITION_FAILED - invalid expiration '': no_integer"},
		{"no number", wire.BasicPublish{}, expiration("abc"), 406, "PRECONDITION_FAILED - invalid expiration 'abc': no_integer"},
		{"space", wire.BasicPublish{}, expiration(" 5"), 406, "PRECONDITION_FAILED - invalid expiration ' 5': no_integer"},
		{"sign alone", wire.BasicPublish{}, expiration("-"), 406, "PRECONDITION_FAILED - invalid expiration '-': no_integer"},
		{"unit", wire.BasicPublish{}, expiration("5s"), 406, `PRECONDITION_FAILED - invalid expiration '5s': {leftover_string,"s"}`},
		{"fraction", wire.BasicPublish{}, expiration("1.5"), 406, `PRECONDITION_FAILED - invalid expiration '1.5': {leftover_string,".5"}`},
		{"control character", wire.BasicPublish{}, expiration("12\x01"), 406,
			"PRECONDITION_FAILED - invalid expiration '12\x01': {leftover_string,[1]}"},
		{"negative", wire.BasicPublish{}, expiration("-1"), 406, "PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}"},
		{"too long", wire.BasicPublish{}, expiration("99999999999999"), 406,
			"PRECONDITION_FAILED - invalid expiration '99999999999999': {value_too_large,99999999999999}"},
		{"far too long", wire.BasicPublish{}, expiration("99999999999999999999"), 406,
			"PRECONDITION_FAILED - invalid expiration '99999999999999999999': {value_too_large,99999999999999999999}"},
		{"longest", wire.BasicPublish{}, expiration("315360000000"), 0, ""},
		{"plus", wire.BasicPublish{}, expiration("+5"), 0, ""},
		{"zero", wire.BasicPublish{}, expiration("0"), 0, ""},
		{"another's user-id", wire.BasicPublish{}, wire.Properties{Flags: wire.FlagUserID, UserID: "bob"}, 406,
			"PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was 'guest'"},
		{"own user-id", wire.BasicPublish{}, wire.Properties{Flags: wire.FlagUserID, UserID: "guest"}, 0, ""},
		{"CC no array", wire.BasicPublish{}, headers("CC", "x"), 406,
			`PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}`},
		{"BCC no array", wire.BasicPublish{}, headers("BCC", int32(4)), 406,
			`PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"BCC",signedint}`},
		{"CC", wire.BasicPublish{}, headers("CC", []any{"x", int32(1)}), 0, ""},
		{"reply-to without a consumer", wire.BasicPublish{}, wire.Properties{Flags: wire.FlagReplyTo, ReplyTo: "amq.rabbitmq.reply-to"},
			406, "PRECONDITION_FAILED - fast reply consumer does not exist"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachVersion(t, Config{}, func(t *testing.T, b *Broker) {
				r := dialRaw(t, b)
				call[*wire.ExchangeDeclareOk](r, &wire.ExchangeDeclare{Exchange: "internal", Type: "fanout", Internal: true})
				call[*wire.ConfirmSelectOk](r, &wire.ConfirmSelect{})
				r.publishWith(&c.publish, c.props, "body")
				switch {
				case c.code == 0:
					expect[*wire.BasicAck](r, 1)
				case wire.IsHard(c.code):
					r.expectConnectionClosed(c.code, c.text)
				default:
					r.expectClosed(1, c.code, c.text)
				}
			})
		})
	}
}

func TestUnknownDeliveryMode(t *testing.T) {
	eachVersion(t, Config{}, func(t *testing.T, b *Broker) {
		r := dialRaw(t, b)
		call[*wire.ConfirmSelectOk](r, &wire.ConfirmSelect{})
		r.publishWith(&wire.BasicPublish{}, wire.Properties{Flags: wire.FlagDeliveryMode, DeliveryMode: 3}, "")
		if b.cfg.Version == V310 {
			r.expectClosed(1, 406, "PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,3}")
		} else {
			expect[*wire.BasicAck](r, 1)
		}
	})
}

func TestUnreadableHeaders(t *testing.T) {
	r := dialRaw(t, New(t))
	b := wire.AppendMethod(nil, 1, &wire.BasicPublish{})
	// Headers with a value of no known type.
	b = wire.AppendHeader(b, 1, 0, []byte{0x20, 0, 0, 0, 0, 3, 1, 'a', '?'})
	r.write(b)
	m := expect[*wire.ConnectionClose](r, 0)
	if m.ReplyCode != 541 || m.ReplyText != "INTERNAL_ERROR" || m.ClassID != 0 {
		t.Errorf("got %+v", m)
	}
}

func TestMessageSize(t *testing.T) {
	r := dialRaw(t, Config{MaxMessageSize: 100_000}.New(t))
	call[*wire.ConfirmSelectOk](r, &wire.ConfirmSelect{})
	r.publish("", "q", strings.Repeat("x", 100_000))
	expect[*wire.BasicAck](r, 1)
	r.publish("", "q", strings.Repeat("x", 100_001))
	r.expectClosed(1, 406, "PRECONDITION_FAILED - message size 100001 is larger than configured max size 100000")
}

func TestPermissions(t *testing.T) {
	c := Config{Users: map[string]User{"u": {Password: "p", Permissions: map[string]Permissions{
		"/": {Configure: "^c", Write: "^w|amq\\.default", Read: "^r"},
	}}}}
	eachVersion(t, c, func(t *testing.T, b *Broker) {
		text := func(want, what string) string {
			s := "access to " + what + " in vhost '/' refused for user 'u'"
			if b.cfg.Version != V310 {
				s = want + " " + s
			}
			return "ACCESS_REFUSED - " + s
		}
		r := dialRaw(t, b)
		r.publish("amq.topic", "", "")
		r.expectClosed(1, 403, text("write", "exchange 'amq.topic'"))
		r.open(1)
		r.send(1, &wire.QueueDeclare{Queue: "x"})
		r.expectClosed(1, 403, text("configure", "queue 'x'"))
		r.open(1)
		call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "c"})
		r.publish("", "c", "fine")
		r.send(1, &wire.BasicGet{Queue: "c"})
		r.expectClosed(1, 403, text("read", "queue 'c'"))
	})
	b := Config{Users: map[string]User{"u": {Password: "p", Permissions: map[string]Permissions{"/": {Configure: ".*"}}}}}.New(t)
	r := dialRaw(t, b)
	r.publish("", "q", "")
	r.expectClosed(1, 403, "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'u'")
}

func TestReturns(t *testing.T) {
	r := dialRaw(t, New(t))
	call[*wire.ConfirmSelectOk](r, &wire.ConfirmSelect{})
	props := wire.Properties{Flags: wire.FlagMessageID | wire.FlagHeaders, Headers: wire.Table{{Key: "a", Value: int64(1)}}}
	var b []byte
	const n = 300
	for i := range n {
		props.MessageID = fmt.Sprint(i)
		b = appendPublish(b, 1, &wire.BasicPublish{Exchange: "amq.direct", RoutingKey: "k", Mandatory: true}, props, "body")
	}
	go r.write(b)
	for i := range n {
		m, got := expectContent[*wire.BasicReturn](r, 1)
		want := wire.BasicReturn{ReplyCode: 312, ReplyText: "NO_ROUTE", Exchange: "amq.direct", RoutingKey: "k"}
		if *m != want || got.body != "body" || got.props.MessageID != fmt.Sprint(i) || len(got.props.Headers) != 1 {
			t.Fatalf("return %d: %+v %+v", i, m, got)
		}
		// Each is followed at once by its own ack.
		if a := expect[*wire.BasicAck](r, 1); a.DeliveryTag != uint64(i+1) || a.Multiple {
			t.Fatalf("after return %d: %+v", i, a)
		}
	}
}

func TestCopies(t *testing.T) {
	b := New(t)
	r := dialRaw(t, b)
	for _, q := range []string{"to", "cc", "bcc"} {
		call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: q})
	}
	props := wire.Properties{Flags: wire.FlagHeaders, Headers: wire.Table{
		{Key: "CC", Value: []any{"cc", "to"}}, {Key: "BCC", Value: []any{"bcc"}},
	}}
	r.publishWith(&wire.BasicPublish{RoutingKey: "to"}, props, "x")
	for _, q := range []string{"to", "cc", "bcc"} {
		_, got := func() (*wire.BasicGetOk, received) {
			r.send(1, &wire.BasicGet{Queue: q, NoAck: true})
			return expectContent[*wire.BasicGetOk](r, 1)
		}()
		if _, ok := got.props.Headers.Get("BCC"); ok {
			t.Errorf("%s: BCC is shown", q)
		}
		if _, ok := got.props.Headers.Get("CC"); !ok {
			t.Errorf("%s: CC is gone", q)
		}
		r.send(1, &wire.BasicGet{Queue: q, NoAck: true})
		expect[*wire.BasicGetEmpty](r, 1)
	}
}

func TestBodyInManyFrames(t *testing.T) {
	b := New(t)
	r := dialRaw(t, b)
	call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q"})
	body := strings.Repeat("0123456789", 50_000)
	f := wire.AppendMethod(nil, 1, &wire.BasicPublish{RoutingKey: "q"})
	f = wire.AppendHeader(f, 1, uint64(len(body)), []byte{0, 0})
	f = wire.AppendBody(f, 1, []byte(body[:100]), 131072)
	f = append(f, 3, 0, 1, 0, 0, 0, 0, 0xce) // an empty body frame
	f = wire.AppendBody(f, 1, []byte(body[100:]), 4096)
	go r.write(f)
	for b.waitReady("q") == 0 {
		runtime.Gosched()
	}
	r.send(1, &wire.BasicGet{Queue: "q", NoAck: true})
	if _, got := expectContent[*wire.BasicGetOk](r, 1); got.body != body {
		t.Errorf("%d bytes came back", len(got.body))
	}
}

// waitReady is how many messages a queue of "/" has ready.
func (b *Broker) waitReady(queue string) int {
	info, _ := b.Queue("/", queue)
	return info.Ready
}
