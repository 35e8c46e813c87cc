package amqptest

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/internal/wire"
)

func TestManagementUsers(t *testing.T) {
	b := New(t)
	a := newAPI(t, b)
	a.must("PUT", "vhosts/shop", "", 201)
	a.must("PUT", "users/ana", `{"password":"secret","tags":"management"}`, 201)
	ana := a.as("ana", "secret")
	ana.must("GET", "whoami", "", 200)
	ana.must("GET", "queues/shop", "", 401)
	login := func(user, password, vhost string) error {
		u, err := url.Parse(b.URL())
		if err != nil {
			t.Fatal(err)
		}
		u.User, u.Path = url.UserPassword(user, password), "/"+vhost
		c, err := amqp.Dial(u.String())
		if err != nil {
			return err
		}
		return c.Close()
	}
	if err := login("ana", "secret", "shop"); err == nil {
		t.Error("a user without permissions may log in")
	}
	a.must("PUT", "permissions/shop/ana", `{"configure":"^mine","write":".*","read":".*"}`, 201)
	if err := login("ana", "secret", "shop"); err != nil {
		t.Error(err)
	}
	ana.must("PUT", "queues/shop/mine", "{}", 201)
	ana.must("PUT", "queues/shop/yours", "{}", 401)
	ana.must("GET", "users", "", 401)
	ana.must("PUT", "vhosts/other", "", 401)

	// A hash made elsewhere is as good as the password.
	hashed := a.must("GET", "users/ana", "", 200)
	body, err := json.Marshal(map[string]any{"password_hash": field(hashed, "password_hash"), "tags": []string{"management"}})
	if err != nil {
		t.Fatal(err)
	}
	a.must("PUT", "users/bob", string(body), 201)
	a.must("PUT", "permissions/%2F/bob", `{"configure":"","write":"","read":""}`, 201)
	if err := login("bob", "secret", ""); err != nil {
		t.Errorf("a user made with another's hash: %v", err)
	}
	if err := login("bob", "other", ""); err == nil {
		t.Error("a wrong password fits a hash")
	}

	conn, err := amqp.DialConfig(strings.TrimSuffix(b.URL(), "/")+"/shop", amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{Username: "ana", Password: "secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	a.must("DELETE", "users/ana", "", 204)
	if err := <-closed; err == nil || err.Reason != "CONNECTION_FORCED - user 'ana' is deleted" {
		t.Errorf("the client was told %v", err)
	}
	a.as("ana", "secret").must("GET", "whoami", "", 401)
}

// A change of permissions is for open connections, too, but a channel may go on
// with what it was just allowed.
func TestManagementChangesPermissionsOfOpenConnections(t *testing.T) {
	eachVersion(t, Config{}, func(t *testing.T, b *Broker) {
		a := newAPI(t, b)
		r := dialRaw(t, b)
		call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q"})
		refused := func(text string, m wire.Method) {
			t.Helper()
			r.send(2, m)
			if b.cfg.Version.atLeast40() {
				text = "configure " + text
			}
			r.expectClosed(2, 403, "ACCESS_REFUSED - "+text+" in vhost '/' refused for user 'guest'")
			r.open(2)
		}
		r.open(2)
		a.must("PUT", "permissions/%2F/guest", `{"configure":"^r$","write":"","read":""}`, 204)
		call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q"})
		call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "r"})
		refused("access to queue 'q'", &wire.QueueDeclare{Queue: "q"})

		a.must("DELETE", "permissions/%2F/guest", "", 204)
		refused("access to queue 'r'", &wire.QueueDeclare{Queue: "r"})
		a.must("PUT", "permissions/%2F/guest", `{"configure":".*","write":"","read":""}`, 201)
		for i := range allowedMost { // "q" and "r" are forgotten
			call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q" + strconv.Itoa(i)})
		}
		a.must("PUT", "permissions/%2F/guest", `{"configure":"none","write":"","read":""}`, 204)
		call[*wire.QueueDeclareOk](r, &wire.QueueDeclare{Queue: "q0"})
		r.send(1, &wire.QueueDeclare{Queue: "r"})
		expect[*wire.ChannelClose](r, 1)
	})
}

func TestManagementDeletesVHost(t *testing.T) {
	b := Config{VHosts: []string{"/", "shop"}}.New(t)
	a := newAPI(t, b)
	conn, err := amqp.Dial(strings.TrimSuffix(b.URL(), "/") + "/shop")
	if err != nil {
		t.Fatal(err)
	}
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	a.must("PUT", "queues/shop/q", "{}", 201)
	a.must("DELETE", "vhosts/shop", "", 204)
	if err := <-closed; err == nil || err.Reason != "CONNECTION_FORCED - vhost 'shop' is deleted" {
		t.Errorf("the client was told %v", err)
	}
	a.must("GET", "queues/shop", "", 404)
	if len(b.Queues("shop")) > 0 {
		t.Error("its queue is still there")
	}
}

func TestManagementDefinitions(t *testing.T) {
	b := New(t)
	a := newAPI(t, b)
	a.must("PUT", "vhosts/shop", `{"description":"a shop","tags":"a,b"}`, 201)
	a.must("PUT", "users/ana", `{"password":"secret","tags":"monitoring"}`, 201)
	a.must("PUT", "permissions/shop/ana", `{"configure":"","write":"^x","read":".*"}`, 201)
	a.must("PUT", "queues/shop/q", `{"durable":true,"arguments":{"x-queue-type":"quorum","x-dead-letter-exchange":"dead","x-max-length":7}}`, 201)
	a.must("PUT", "exchanges/shop/x", `{"type":"headers","durable":true}`, 201)
	a.must("PUT", "exchanges/shop/y", `{"type":"fanout","durable":true,"internal":true}`, 201)
	a.must("POST", "bindings/shop/e/x/q/q", `{"routing_key":"","arguments":{"x-match":"any","n":5,"deep":{"list":[1,"two",null]}}}`, 201)
	a.must("POST", "bindings/shop/e/x/e/y", `{"routing_key":"k"}`, 201)
	exported, err := json.Marshal(a.must("GET", "definitions", "", 200))
	if err != nil {
		t.Fatal(err)
	}

	other := New(t)
	if err := other.LoadDefinitions(exported); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(newAPI(t, other).must("GET", "definitions", "", 200))
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(exported) {
		t.Errorf("what was imported is\n%s\nwant\n%s", again, exported)
	}
	if err := other.LoadDefinitions(exported); err != nil {
		t.Errorf("a second time: %v", err)
	}
	for definitions, want := range map[string]string{
		`{"policies":[{"name":"p"}]}`:                 "no policies",
		`{"queues":[{"name":"q","vhost":"nowhere"}]}`: "nowhere",
		`{"queues":[7]}`:                              "not_a_json_object",
		`{`:                                           "failed_to_parse_json",
		`{"users":[{"name":"u"}]}`:                    "tags_not_present",
		`{"bindings":[{"vhost":"/","source":"a","destination_type":"queue","destination":"b"}]}`: "no exchange 'a'",
	} {
		if err := other.LoadDefinitions([]byte(definitions)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that says %q", definitions, err, want)
		}
	}
}
