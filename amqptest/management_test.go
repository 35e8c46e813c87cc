package amqptest

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// api calls a broker's management API without a socket.
type api struct {
	t       testing.TB
	handler http.Handler
	user    string
	secret  string
}

func newAPI(t testing.TB, b *Broker) api { return api{t, b.ManagementHandler(), "guest", "guest"} }

func (a api) as(user, secret string) api {
	a.user, a.secret = user, secret
	return a
}

// do makes a request and returns the status and what the body says.
func (a api) do(method, path, body string) (int, any) {
	a.t.Helper()
	r := httptest.NewRequest(method, "/api/"+path, strings.NewReader(body))
	if a.user != "" {
		r.SetBasicAuth(a.user, a.secret)
	}
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	if w.Body.Len() == 0 {
		return w.Code, nil
	}
	var v any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		a.t.Fatalf("%s %s answers no JSON: %s", method, path, w.Body)
	}
	return w.Code, v
}

// must makes a request that has to be answered with one of the statuses.
func (a api) must(method, path, body string, statuses ...int) any {
	a.t.Helper()
	status, v := a.do(method, path, body)
	for _, s := range statuses {
		if s == status {
			return v
		}
	}
	a.t.Fatalf("%s %s %s answers %d %v, want %v", method, path, body, status, v, statuses)
	return nil
}

// field is a value at a path such as "message_stats.publish_details.rate".
func field(v any, path string) any {
	for _, name := range strings.Split(path, ".") {
		o, _ := v.(map[string]any)
		v = o[name]
	}
	return v
}

func (a api) wantFields(path string, want map[string]any) {
	a.t.Helper()
	got := a.must("GET", path, "", 200)
	for name, value := range want {
		have := field(got, name)
		if x, isNumber := have.(float64); isNumber {
			if y, ok := value.(float64); ok && math.Abs(x-y) < 1e-6 {
				continue
			}
		}
		if have != value {
			a.t.Errorf("%s: %s is %v, want %v", path, name, have, value)
		}
	}
}

func TestManagementRates(t *testing.T) {
	b := New(t)
	a := newAPI(t, b)
	a.must("PUT", "queues/%2F/q", `{"durable":true}`, 201)
	publish := func(n int) {
		for range n {
			a.must("POST", "exchanges/%2F/amq.default/publish", `{"routing_key":"q","properties":{},"payload":"x","payload_encoding":"string"}`, 200)
		}
	}
	get := func(n string) {
		a.must("POST", "queues/%2F/q/get", `{"count":`+n+`,"ackmode":"ack_requeue_false","encoding":"auto"}`, 200)
	}
	publish(10)
	a.wantFields("queues/%2F/q", map[string]any{
		"messages": 10.0, "messages_ready": 10.0, "messages_unacknowledged": 0.0, "message_bytes": 10.0,
		"message_stats.publish": 10.0, "message_stats.publish_details.rate": 0.0, // no time has passed
	})
	b.Advance(5 * time.Second)
	a.wantFields("queues/%2F/q", map[string]any{"message_stats.publish_details.rate": 2.0, "messages_details.rate": 2.0})
	a.wantFields("overview", map[string]any{
		"message_stats.publish": 10.0, "message_stats.publish_details.rate": 2.0, "message_stats.confirm": 10.0,
		"queue_totals.messages": 10.0, "queue_totals.messages_ready_details.rate": 2.0, "object_totals.queues": 1.0,
	})
	a.wantFields("vhosts/%2F", map[string]any{"messages": 10.0, "message_stats.publish_details.rate": 2.0})
	a.wantFields("exchanges/%2F/amq.default", map[string]any{"message_stats.publish_in": 10.0, "message_stats.publish_out_details.rate": 2.0})

	get("10")
	b.Advance(5 * time.Second)
	a.wantFields("queues/%2F/q", map[string]any{
		"message_stats.publish_details.rate": 0.0, "message_stats.get_no_ack": 10.0, "message_stats.get_no_ack_details.rate": 2.0,
		"message_stats.deliver_get_details.rate": 2.0, "messages": 0.0, "messages_details.rate": -2.0,
	})
	// Nobody asks for hours: no samples are kept busy, and the next rate is
	// over a short time again.
	b.Advance(100 * 24 * time.Hour)
	a.must("GET", "overview", "", 200)
	publish(5)
	b.Advance(5 * time.Second)
	a.wantFields("queues/%2F/q", map[string]any{"message_stats.publish_details.rate": 1.0})
}

func TestManagementCountsDeliveries(t *testing.T) {
	b := New(t)
	a := newAPI(t, b)
	conn, err := amqp.DialConfig(b.URL(), amqp.Config{Properties: amqp.Table{"connection_name": "counting"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	deliveries, err := ch.Consume("q", "c", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := ch.Publish("", "q", false, false, amqp.Publishing{Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := ch.Publish("", "nowhere", false, false, amqp.Publishing{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := (<-deliveries).Ack(false); err != nil {
			t.Fatal(err)
		}
	}
	if err := (<-deliveries).Nack(false, true); err != nil {
		t.Fatal(err)
	}
	again := <-deliveries
	if _, err := ch.QueueDeclarePassive("q", true, false, false, false, nil); err != nil { // all before is done
		t.Fatal(err)
	}
	a.wantFields("queues/%2F/q", map[string]any{
		"consumers": 1.0, "messages": 1.0, "messages_unacknowledged": 1.0,
		"message_stats.publish": 3.0, "message_stats.deliver": 4.0, "message_stats.ack": 2.0, "message_stats.redeliver": 1.0,
	})
	name := url.PathEscape(b.Connections()[0].Name)
	a.wantFields("channels/"+name+"%20(1)", map[string]any{
		"message_stats.publish": 4.0, "message_stats.drop_unroutable": 1.0, "message_stats.deliver_get": 4.0, "messages_unacknowledged": 1.0,
		"consumer_count": 1.0,
	})
	a.wantFields("connections/"+name, map[string]any{
		"user_provided_name": "counting", "user": "guest", "vhost": "/", "channels": 1.0, "client_properties.connection_name": "counting",
	})
	if err := again.Ack(false); err != nil {
		t.Fatal(err)
	}
	if err := ch.Close(); err != nil {
		t.Fatal(err)
	}
	// What channels did that are gone still counts.
	a.wantFields("overview", map[string]any{"message_stats.publish": 4.0, "message_stats.ack": 3.0, "object_totals.channels": 0.0})
}

func TestManagementHealth(t *testing.T) {
	b := New(t)
	a := newAPI(t, b)
	a.must("GET", "health/checks/alarms", "", 200)
	if err := b.Alarm("memory"); err != nil {
		t.Fatal(err)
	}
	got := a.must("GET", "health/checks/alarms", "", 503)
	if field(got, "reason") != "There are alarms in effect in the cluster" {
		t.Errorf("it says %v", got)
	}
	if nodes, _ := a.must("GET", "nodes", "", 200).([]any); len(nodes) != 1 || field(nodes[0], "mem_alarm") != true || field(nodes[0], "disk_free_alarm") != false {
		t.Errorf("the nodes are %v", nodes)
	}
	_ = b.Addr() // opens the socket
	_, port := hostPort(b.Addr())
	a.must("GET", "health/checks/port-listener/1", "", 503)
	a.must("GET", "health/checks/port-listener/"+jsonText(port), "", 200)
	a.must("GET", "health/checks/protocol-listener/amqp091", "", 200)
	a.must("GET", "health/checks/protocol-listener/mqtt", "", 503)
}

func TestManagementRefusesStrangers(t *testing.T) {
	a := newAPI(t, New(t))
	for _, s := range []api{a.as("", ""), a.as("guest", ""), a.as("guest", "wrong"), a.as("nobody", "guest")} {
		if status, v := s.do("DELETE", "queues/%2F/q", ""); status != 401 {
			t.Errorf("%s:%s is answered %d %v, want 401", s.user, s.secret, status, v)
		}
	}
}

func TestManagementSurvivesNonsense(t *testing.T) {
	a := newAPI(t, New(t))
	for _, c := range []struct{ method, path, body string }{
		{"PUT", "queues/%2F/q", `[]`}, {"PUT", "queues/%2F/q", `null`}, {"PUT", "queues/%2F/q", `{"arguments":7}`},
		{"PUT", "queues/%2F/q", `{"arguments":{"x-max-length":1e400}}`}, {"PUT", "queues/%2F/" + strings.Repeat("n", 300), `{}`},
		{"POST", "exchanges/%2F/amq.direct/publish", `{"routing_key":7,"properties":{"headers":[1]},"payload":"","payload_encoding":"string"}`},
		{"POST", "exchanges/%2F/amq.direct/publish", `{"routing_key":"","properties":{"timestamp":-1},"payload":"","payload_encoding":"string"}`},
		{"POST", "exchanges/%2F/amq.direct/publish", `{"routing_key":"","properties":{},"payload":"%","payload_encoding":"base64"}`},
		{"POST", "queues/%2F/q/get", `{"count":-1,"ackmode":"ack_requeue_true","encoding":"auto"}`},
		{"POST", "queues/%2F/q/get", `{"count":"many","ackmode":"ack_requeue_true","encoding":"auto"}`},
		{"POST", "definitions", `{"users":[{"name":"","tags":7}],"permissions":[{}]}`},
		{"POST", "users/bulk-delete", `{"users":7}`}, {"PUT", "users/u", `{"tags":[7],"password_hash":"x"}`},
		{"GET", "queues?page=99999999999999999999", ""}, {"GET", "queues?page=1&name=%28&use_regex=true", ""},
		{"GET", "queues?sort=a.b.c&columns=,.,..", ""}, {"GET", "", ""}, {"GET", "%ZZ", ""}, {"GET", "bindings/%2F/e/a/x/b/~~", ""},
		{"PATCH", "queues", ""},
	} {
		path := c.path
		if path == "%ZZ" {
			continue // httptest does not take it
		}
		if status, _ := a.do(c.method, path, c.body); status >= 500 && status != 501 {
			t.Errorf("%s %s %s is answered %d", c.method, path, c.body, status)
		}
	}
}

// In testing/synctest the API works without sockets, and does not keep time
// running for ever.
func TestManagementInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Config{Clock: Running}.New(t)
		a := newAPI(t, b)
		a.must("PUT", "queues/%2F/q", "{}", 201)
		a.must("POST", "exchanges/%2F/amq.default/publish", `{"routing_key":"q","properties":{},"payload":"x","payload_encoding":"string"}`, 200)
		time.Sleep(10 * time.Second)
		a.wantFields("queues/%2F/q", map[string]any{"messages": 1.0})
	})
}

func TestManagementServer(t *testing.T) {
	b := New(t)
	at := b.ManagementURL()
	if again := b.ManagementURL(); again != at {
		t.Errorf("it is at %s, then at %s", at, again)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range 2 {
		resp, err := client.Get(at + "/api/whoami")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), `"guest"`) {
			t.Errorf("it answers %d %s %v", resp.StatusCode, body, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- b.Close() }() // with a connection kept alive
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("Close waits for a client that is idle")
	}
	if b.ManagementURL() != "" {
		t.Error("a closed broker has a management URL")
	}
	if err := b.ListenManagement("127.0.0.1:0"); err == nil {
		t.Error("a closed broker listens")
	}
}

func TestPropertiesKey(t *testing.T) { // as RabbitMQ 4.0.5 has them
	b := New(t)
	a := newAPI(t, b)
	a.must("PUT", "queues/%2F/q", "{}", 201)
	for body, want := range map[string]string{
		`{"routing_key":""}`:                        "~",
		`{"routing_key":"a.#"}`:                     "a.%23",
		`{"routing_key":"a.#","arguments":{"x":1}}`: "a.%23~9nmLZQ",
		`{"routing_key":"k","arguments":{"a":1}}`:   "k~Ajat_Q",
		`{"routing_key":"a ~/b"}`:                   "a+%7E%2Fb",
	} {
		a.must("POST", "bindings/%2F/e/amq.topic/q/q", body, 201)
		found := false
		all, _ := a.must("GET", "bindings/%2F/e/amq.topic/q/q", "", 200).([]any)
		for _, v := range all {
			found = found || field(v, "properties_key") == want
		}
		if !found {
			t.Errorf("%s has no properties key %s: %v", body, want, all)
		}
		a.must("DELETE", "bindings/%2F/e/amq.topic/q/q/"+url.PathEscape(want), "", 204)
	}
	if len(b.Bindings("/")) > 1 {
		t.Errorf("not all are deleted: %v", b.Bindings("/"))
	}
}
