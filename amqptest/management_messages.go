package amqptest

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/hareline/hareline/internal/wire"
)

// getMessages gets messages as basic.get does, and acks or gives them back.
func (c *apiCall) getMessages() apiReply {
	vh := c.vhost()
	if vh == nil {
		return apiError(http.StatusNotFound, "not_found", "vhost_not_found")
	}
	if c.queue() == nil {
		reason := "queue_not_found"
		if !c.b.cfg.Version.atLeast40() {
			reason = vh.notFound("queue", c.words["queue"]).text
		}
		return apiError(http.StatusNotFound, "not_found", reason)
	}
	want, refused := c.readGet()
	if refused != nil {
		return *refused
	}
	d := c.direct(vh)
	defer d.close()
	got := []object{}
	var tags []uint64
	for range want.count {
		o, tag, refused := d.get(c.words["queue"], want)
		if refused != nil {
			return *refused
		}
		if o == nil {
			break
		}
		got, tags = append(got, o), append(tags, tag)
	}
	for _, tag := range tags {
		var m wire.Method
		switch want.ackMode {
		case "ack_requeue_true":
			m = &wire.BasicNack{DeliveryTag: tag, Requeue: true}
		case "reject_requeue_true":
			m = &wire.BasicReject{DeliveryTag: tag, Requeue: true}
		case "reject_requeue_false":
			m = &wire.BasicReject{DeliveryTag: tag}
		default:
			continue
		}
		if e := d.do(m); e != nil {
			return e.replyWithCode()
		}
	}
	return okReply(got)
}

// getRequest is the body of a request for messages.
type getRequest struct {
	count    int64
	ackMode  string
	base64   bool // always
	truncate int64
}

// maxGet bounds how many messages one request gets.
const maxGet = 100_000

func (c *apiCall) readGet() (getRequest, *apiReply) {
	body, refused := c.decode()
	if refused != nil {
		return getRequest{}, refused
	}
	if refused := keysMissing(body, "ackmode", "count", "encoding"); refused != nil {
		return getRequest{}, refused
	}
	fail := func(reason any) (getRequest, *apiReply) {
		reply := badRequest(reason)
		return getRequest{}, &reply
	}
	want := getRequest{ackMode: stringOf(body["ackmode"]), truncate: math.MaxInt64}
	switch want.ackMode {
	case "ack_requeue_true", "ack_requeue_false", "reject_requeue_true", "reject_requeue_false":
	default:
		if c.b.cfg.Version.atLeast43() {
			return fail("Invalid ackmode value: " + want.ackMode +
				". Valid values are: ack_requeue_true, ack_requeue_false, reject_requeue_true, reject_requeue_false")
		}
		return getRequest{}, &apiReply{status: http.StatusInternalServerError}
	}
	count, isInt := intOf(body["count"])
	if !isInt {
		return fail([]any{"not_integer", body["count"]})
	}
	want.count = max(0, min(count, maxGet))
	switch stringOf(body["encoding"]) {
	case "auto":
	case "base64":
		want.base64 = true
	default:
		return fail("Unsupported encoding. Please use auto or base64.")
	}
	if v, there := body["truncate"]; there {
		if want.truncate, isInt = intOf(v); !isInt || want.truncate < 0 {
			return fail([]any{"not_integer", v})
		}
	}
	return want, nil
}

// get gets one message; nil: there is none.
func (d directChannel) get(queue string, want getRequest) (object, uint64, *apiReply) {
	if e := d.do(&wire.BasicGet{Queue: queue, NoAck: want.ackMode == "ack_requeue_false"}); e != nil {
		reply := e.replyWithCode()
		return nil, 0, &reply
	}
	sent, err := d.sent()
	if err != nil {
		reply := apiError(http.StatusInternalServerError, "internal_error", err.Error())
		return nil, 0, &reply
	}
	for _, m := range sent {
		if got, isMessage := m.method.(*wire.BasicGetOk); isMessage {
			return m.json(got, want), got.DeliveryTag, nil
		}
	}
	return nil, 0, nil
}

func (m directMethod) json(got *wire.BasicGetOk, want getRequest) object {
	body := m.body[:min(int64(len(m.body)), want.truncate)]
	o := object{
		"payload_bytes": len(m.body), "redelivered": got.Redelivered, "exchange": got.Exchange, "routing_key": got.RoutingKey,
		"message_count": got.MessageCount, "properties": propertiesJSON(&m.properties),
		"payload": string(body), "payload_encoding": "string",
	}
	if want.base64 || !utf8.Valid(body) {
		o["payload"], o["payload_encoding"] = base64.StdEncoding.EncodeToString(body), "base64"
	}
	return o
}

// textProperties are the properties that are texts, by their names here.
var textProperties = []struct {
	name string
	flag uint16
	of   func(*wire.Properties) *string
}{
	{"content_type", wire.FlagContentType, func(p *wire.Properties) *string { return &p.ContentType }},
	{"content_encoding", wire.FlagContentEncoding, func(p *wire.Properties) *string { return &p.ContentEncoding }},
	{"correlation_id", wire.FlagCorrelationID, func(p *wire.Properties) *string { return &p.CorrelationID }},
	{"reply_to", wire.FlagReplyTo, func(p *wire.Properties) *string { return &p.ReplyTo }},
	{"expiration", wire.FlagExpiration, func(p *wire.Properties) *string { return &p.Expiration }},
	{"message_id", wire.FlagMessageID, func(p *wire.Properties) *string { return &p.MessageID }},
	{"type", wire.FlagType, func(p *wire.Properties) *string { return &p.Type }},
	{"user_id", wire.FlagUserID, func(p *wire.Properties) *string { return &p.UserID }},
	{"app_id", wire.FlagAppID, func(p *wire.Properties) *string { return &p.AppID }},
	{"cluster_id", wire.FlagClusterID, func(p *wire.Properties) *string { return &p.ClusterID }},
}

// propertiesJSON are a message's properties; an empty list if it has none, as
// RabbitMQ writes that.
func propertiesJSON(p *wire.Properties) any {
	o := make(object)
	for _, t := range textProperties {
		if p.Has(t.flag) {
			o[t.name] = textJSON(*t.of(p))
		}
	}
	if p.Has(wire.FlagHeaders) {
		o["headers"] = tableJSON(p.Headers)
	}
	if p.Has(wire.FlagDeliveryMode) {
		o["delivery_mode"] = p.DeliveryMode
	}
	if p.Has(wire.FlagPriority) {
		o["priority"] = p.Priority
	}
	if p.Has(wire.FlagTimestamp) {
		o["timestamp"] = p.Timestamp.Unix()
	}
	if len(o) == 0 {
		return []any{}
	}
	return o
}

// propertiesOf reads the properties of a message that is to be published.
func propertiesOf(v any) (wire.Properties, *apiReply) {
	var p wire.Properties
	o, isObject := v.(object)
	list, isList := v.([]any)
	if !isObject && (!isList || len(list) > 0) {
		reply := badRequest("not_a_json_object")
		return p, &reply
	}
	for _, t := range textProperties {
		if v, there := o[t.name]; there {
			s, isText := v.(string)
			if !isText {
				reply := badRequest([]any{"not_string", t.name})
				return p, &reply
			}
			*t.of(&p) = s
			p.Set(t.flag)
		}
	}
	if v, there := o["headers"]; there {
		headers, err := tableOf(v)
		if err != nil {
			reply := badRequest(err.Error())
			return p, &reply
		}
		p.Headers = headers
		p.Set(wire.FlagHeaders)
	}
	for _, n := range []struct {
		name string
		flag uint16
		most int64
		set  func(int64)
	}{
		{"delivery_mode", wire.FlagDeliveryMode, math.MaxUint8, func(n int64) { p.DeliveryMode = uint8(n) }},
		{"priority", wire.FlagPriority, math.MaxUint8, func(n int64) { p.Priority = uint8(n) }},
		{"timestamp", wire.FlagTimestamp, math.MaxInt64, func(n int64) { p.Timestamp = time.Unix(n, 0).UTC() }},
	} {
		v, there := o[n.name]
		if !there {
			continue
		}
		value, isNumber := v.(json.Number)
		i, err := value.Int64()
		if !isNumber || err != nil || i < 0 || i > n.most {
			reply := badRequest([]any{"not_int", n.name})
			return p, &reply
		}
		n.set(i)
		p.Set(n.flag)
	}
	return p, nil
}

// publishMessage publishes as a client that wants to know whether the message
// was routed.
func (c *apiCall) publishMessage() apiReply {
	vh := c.vhost()
	if vh == nil {
		return apiError(http.StatusNotFound, "not_found", "vhost_not_found")
	}
	x := c.exchange()
	if x == nil && c.b.cfg.Version.atLeast40() {
		return apiError(http.StatusNotFound, "not_found", "exchange_not_found")
	}
	in, refused := c.readPublish()
	if refused != nil {
		return *refused
	}
	d := c.direct(vh)
	defer d.close()
	d.channel.confirming = true
	if e := d.channel.publish(in); e != nil {
		return e.replyWithCode()
	}
	sent, err := d.sent()
	if err != nil {
		return apiError(http.StatusInternalServerError, "internal_error", err.Error())
	}
	if d.conn.gone {
		return apiError(http.StatusServiceUnavailable, "service_unavailable", "a fault cut the connection of the publish")
	}
	routed := true
	for _, m := range sent {
		switch m.method.(type) {
		case *wire.BasicReturn:
			routed = false
		case *wire.BasicNack:
			return badRequest("Unable to publish message. Check queue limits.")
		}
	}
	return okReply(object{"routed": routed})
}

func (c *apiCall) readPublish() (*content, *apiReply) {
	body, refused := c.decode()
	if refused != nil {
		return nil, refused
	}
	if refused := keysMissing(body, "routing_key", "properties", "payload", "payload_encoding"); refused != nil {
		return nil, refused
	}
	fail := func(reason any) (*content, *apiReply) {
		reply := badRequest(reason)
		return nil, &reply
	}
	text, isText := body["payload"].(string)
	if !isText {
		return fail("payload_not_string")
	}
	payload := []byte(text)
	switch encoding := stringOf(body["payload_encoding"]); encoding {
	case "string":
	case "base64":
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return fail([]any{"not_base64", text})
		}
		payload = decoded
	default:
		return fail([]any{"unsupported_encoding", body["payload_encoding"]})
	}
	p, refused := propertiesOf(body["properties"])
	if refused != nil {
		return nil, refused
	}
	header := wire.AppendProperties(nil, &p)
	return &content{
		exchange: c.exchangeName(), key: stringOf(body["routing_key"]), mandatory: true,
		size: uint64(len(payload)), properties: len(header), data: append(header, payload...),
	}, nil
}
