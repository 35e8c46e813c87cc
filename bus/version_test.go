package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
)

type orderV1 struct{ ID string }

type orderV2 struct {
	ID       string
	Currency string
}

type orderV3 struct {
	ID    string
	Price struct{ Currency string }
}

var errNoCurrency = errors.New("no currency")

func toV2(o orderV1) (orderV2, error) { return orderV2{o.ID, "EUR"}, nil }

func toV3(o orderV2) (n orderV3, err error) {
	if o.Currency == "" {
		return n, retry.Permanent(errNoCurrency)
	}
	n.ID, n.Price.Currency = o.ID, o.Currency
	return n, nil
}

var orders = Versions{Type: "order.created", Steps: []Step{Upcast(toV2), Upcast(toV3)}}

func TestVersionOf(t *testing.T) {
	for kind, want := range map[string]int{
		"order.created": 1, "order.created.v1": 1, "order.created.v2": 2, "order.created.v30": 30,
		"order.created.v99999999999999999999": math.MaxInt,
		"order":                               0, "order.created2": 0, "order.created.v": 0, "order.created.v0": 0, "order.created.v02": 0,
		"order.created.v-1": 0, "order.created.v2.reply": 0, "order.created.vv2": 0, "order.deleted.v2": 0, "": 0,
	} {
		if n, ok := orders.versionOf(kind); n != want && ok || ok != (want > 0) {
			t.Errorf("%q: %d, %t; want %d", kind, n, ok, want)
		}
	}
	if orders.Current() != "order.created.v3" || orders.Pattern() != "order.created.#" || (Versions{Type: "a"}).Current() != "a" {
		t.Errorf("%q, %q", orders.Current(), orders.Pattern())
	}
}

func TestUpcast(t *testing.T) {
	c := Config{Versions: []Versions{{Type: "order"}, orders}}
	for _, published := range []Received{
		{Type: "order.created", Payload: json.RawMessage(`{"ID":"7"}`)},
		{Type: "order.created.v1", Payload: json.RawMessage(`{"ID":"7"}`)},
		{Type: "order.created.v2", Payload: json.RawMessage(`{"ID":"7","Currency":"EUR"}`)},
		{Type: "order.created.v3", Payload: json.RawMessage(`{"ID":"7","Price":{"Currency":"EUR"}}`)},
	} {
		published.Key = published.Type
		got, err := c.upcast(published)
		var o orderV3
		if err != nil || got.Type != "order.created.v3" || got.Key != published.Key || got.Decode(&o) != nil || o.ID != "7" || o.Price.Currency != "EUR" {
			t.Errorf("%s: %v, %+v", published.Type, err, got)
		}
	}
	foreign := Received{Type: "order.created.later", Payload: json.RawMessage(`[1, 2]`)}
	if got, err := c.upcast(foreign); err != nil || got.Type != foreign.Type || string(got.Payload) != string(foreign.Payload) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestUpcastFails(t *testing.T) {
	c := Config{Versions: []Versions{orders}}
	for _, f := range []struct {
		kind, payload string
		verdict       retry.Verdict
		class         string
	}{
		{"order.created", ``, retry.VerdictMalformed, "*consumer.MalformedError"},
		{"order.created", `{"ID":7}`, retry.VerdictMalformed, "*json.UnmarshalTypeError"},
		{"order.created.v2", `{"ID":"7"}`, retry.VerdictPermanent, "error"},
		{"order.created.v4", `{}`, retry.VerdictTransient, "unsupported version"},
	} {
		_, err := c.upcast(Received{Type: f.kind, Payload: json.RawMessage(f.payload)})
		if retry.Classify(err) != f.verdict || story.Class(err) != f.class {
			t.Errorf("%s %s: %v is %v, class %s; want %v, %s", f.kind, f.payload, err, retry.Classify(err), story.Class(err), f.verdict, f.class)
		}
	}
	var newer *VersionError
	if _, err := c.upcast(Received{Type: "order.created.v4"}); !errors.As(err, &newer) || newer.Newest != 3 || newer.Type != "order.created.v4" {
		t.Errorf("%v", err)
	}
}

// A publisher does not write what its own handlers cannot read.
func TestPublishVersion(t *testing.T) {
	c := Config{Versions: []Versions{orders}}
	for kind, ok := range map[string]bool{"order.created": true, "order.created.v3": true, "order.created.v4": false, "other.v9": true} {
		if _, _, err := c.message(Event{Type: kind}, time.Now()); (err == nil) != ok {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestVersionsValidate(t *testing.T) {
	for problem, v := range map[string][]Versions{
		`Type ""`:                          {{}},
		`Type "order.*"`:                   {{Type: "order.*"}},
		`version 2 in it: write "order.a"`: {{Type: "order.a.v2"}},
		`"order.created" twice`:            {orders, {Type: "order.created"}},
		"empty step to version 2":          {{Type: "a", Steps: make([]Step, 1)}},
		"empty step to version 3":          {{Type: "a", Steps: []Step{Upcast(toV2), Upcast[orderV2, orderV3](nil)}}},
		"to version 2 makes a bus.orderV3, the one to version 3 takes a bus.orderV1": {{Type: "a", Steps: []Step{Upcast(toV3), Upcast(toV2)}}},
	} {
		var bad *ConfigError
		if err := (Config{Versions: v}).withDefaults().validate(); !errors.As(err, &bad) || bad.Field != "Versions" || !strings.Contains(err.Error(), problem) {
			t.Errorf("%v, want %s", err, problem)
		}
	}
	if err := (Config{Versions: []Versions{orders, {Type: "v2"}}}).withDefaults().validate(); err != nil {
		t.Error(err)
	}
}

// Whatever type comes, it has one version or none, and its version's type reads the
// same.
func FuzzVersionOf(f *testing.F) {
	f.Add("order.created.v2")
	f.Add("order.created.v007")
	f.Fuzz(func(t *testing.T, kind string) {
		n, ok := orders.versionOf(kind)
		if ok && (n < 1 || n < math.MaxInt && orders.typeOf(n) != kind && kind != fmt.Sprintf("order.created.v%d", n)) {
			t.Fatalf("%q is version %d", kind, n)
		}
	})
}
