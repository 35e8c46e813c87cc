package topology

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/hareline/hareline/internal/management"
)

// Management is RabbitMQ's management API, for what AMQP does not show: the arguments
// of a queue or exchange, and bindings. The user needs the tag management and access to
// the virtual host; only GET requests are made.
type Management struct {
	// URL is "http://user:password@host:15672", or https. "" is none.
	URL string
	// VHost must be the one of the link. "" is "/".
	VHost string
	// Client makes the requests; nil is http.DefaultClient. The ctx of a call bounds
	// them.
	Client *http.Client
}

// ManagementError tells that the management API gave no answer that could be used.
type ManagementError struct {
	URL    string // of the request, without the password
	Status int    // of HTTP; 0: there was no answer
	Fix    string
	Err    error
}

func (e *ManagementError) Error() string {
	return fmt.Sprintf("management API: %s: %v; fix: %s", e.URL, e.Err, e.Fix)
}

// Unwrap returns the cause.
func (e *ManagementError) Unwrap() error { return e.Err }

func (m Management) withDefaults() Management {
	if m.VHost == "" {
		m.VHost = "/"
	}
	if m.Client == nil {
		m.Client = http.DefaultClient
	}
	return m
}

func (m Management) client() management.Client {
	m = m.withDefaults()
	return management.Client{URL: m.URL, VHost: m.VHost, HTTP: m.Client}
}

func (m Management) validate() error {
	if err := m.client().Validate(); err != nil {
		return fmt.Errorf("topology: Management.URL: %w", err)
	}
	return nil
}

// get reads one answer into out. found is false where the broker says 404.
func (m Management) get(ctx context.Context, out any, path ...string) (found bool, err error) {
	found, err = m.client().Get(ctx, out, path...)
	var failed *management.Error
	if errors.As(err, &failed) {
		err = &ManagementError{URL: failed.URL, Status: failed.Status, Fix: failed.Fix, Err: failed.Err}
	}
	return found, err
}

// table is a JSON object of arguments. RabbitMQ writes an empty one as [] at times.
type table map[string]any

// UnmarshalJSON makes integers int64.
func (t *table) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		*t = table{}
		return nil
	}
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		return err
	}
	*t = canonical(m)
	return nil
}

// canonical is m with its numbers as int64 or float64, whatever their types were.
func canonical(m map[string]any) table {
	out := make(table, len(m))
	for k, v := range m {
		out[k] = canon(v)
	}
	return out
}

func canon(v any) any {
	if n, ok := whole(v); ok {
		return n
	}
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case float32:
		return float64(v)
	case []byte:
		return string(v)
	}
	return v
}

// liveQueue is a queue as the broker has it.
type liveQueue struct {
	Type       QueueType `json:"type"`
	Durable    bool      `json:"durable"`
	AutoDelete bool      `json:"auto_delete"`
	Exclusive  bool      `json:"exclusive"`
	Arguments  table     `json:"arguments"`
	Policy     string    `json:"policy"`
	Operator   string    `json:"operator_policy"`
	ByPolicy   table     `json:"effective_policy_definition"`
}

// liveExchange is an exchange as the broker has it.
type liveExchange struct {
	Type       string `json:"type"`
	Durable    bool   `json:"durable"`
	AutoDelete bool   `json:"auto_delete"`
	Internal   bool   `json:"internal"`
	Arguments  table  `json:"arguments"`
}

// liveBinding is a binding as the broker has it.
type liveBinding struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Kind        string `json:"destination_type"` // queue or exchange
	Key         string `json:"routing_key"`
	Arguments   table  `json:"arguments"`
	Properties  string `json:"properties_key"`
}

func (b liveBinding) binding() Binding {
	return Binding{Source: b.Source, Destination: b.Destination, ToExchange: b.Kind == "exchange", Key: b.Key, Arguments: map[string]any(b.Arguments)}
}

// id is the same for equal bindings, of the topology and of the broker.
func (b Binding) id() string {
	text, err := json.Marshal(canonical(b.Arguments))
	if err != nil {
		text = []byte(fmt.Sprint(b.Arguments))
	}
	return b.entity() + " " + string(text)
}

func (m Management) queue(ctx context.Context, name string) (q liveQueue, found bool, err error) {
	found, err = m.get(ctx, &q, "queues", m.VHost, name)
	if q.Type == "" {
		q.Type = Classic
	}
	return q, found, err
}

func (m Management) exchange(ctx context.Context, name string) (e liveExchange, found bool, err error) {
	found, err = m.get(ctx, &e, "exchanges", m.VHost, name)
	return e, found, err
}

// bindingsTo are those whose destination this is.
func (m Management) bindingsTo(ctx context.Context, name string, exchange bool) (all []liveBinding, err error) {
	path := []string{"queues", m.VHost, name, "bindings"}
	if exchange {
		path = []string{"exchanges", m.VHost, name, "bindings", "destination"}
	}
	_, err = m.get(ctx, &all, path...)
	return all, err
}

func (m Management) bindingsFrom(ctx context.Context, exchange string) (all []liveBinding, err error) {
	_, err = m.get(ctx, &all, "exchanges", m.VHost, exchange, "bindings", "source")
	return all, err
}
