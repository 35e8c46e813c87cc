package brokertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// API is a small client of the management HTTP API, for one virtual host. Every call ends with its ctx or after 15 s.
// It may be used concurrently.
//
// The counts of queues come from statistics, half a second old or so; for exact numbers of ready messages see
// Broker.Depth.
type API struct {
	base, vhost string
	http        *http.Client
}

// Queue is one queue's state.
type Queue struct {
	Name      string         `json:"name"`
	Type      string         `json:"type"`
	Arguments map[string]any `json:"arguments"`
	Ready     int            `json:"messages_ready"`
	Unacked   int            `json:"messages_unacknowledged"`
	Consumers int            `json:"consumers"`
	State     string         `json:"state"`
}

// Connection is one client's connection.
type Connection struct {
	Name             string         `json:"name"`
	User             string         `json:"user"`
	VHost            string         `json:"vhost"`
	State            string         `json:"state"` // running, blocking, blocked, flow
	Channels         int            `json:"channels"`
	ClientProperties map[string]any `json:"client_properties"`
}

// Binding is one binding of a queue or an exchange to an exchange.
type Binding struct {
	Source          string         `json:"source"`
	Destination     string         `json:"destination"`
	DestinationType string         `json:"destination_type"` // queue or exchange
	RoutingKey      string         `json:"routing_key"`
	Arguments       map[string]any `json:"arguments"`
	PropertiesKey   string         `json:"properties_key"`
}

// Permissions are regular expressions over names of queues and exchanges; "" allows none, ".*" all.
type Permissions struct {
	Configure string `json:"configure"`
	Write     string `json:"write"`
	Read      string `json:"read"`
}

// StatusError is an answer of the API that is no success.
type StatusError struct {
	Code         int
	Method, Path string
	Body         string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("management API: %s %s: %d %s", e.Method, e.Path, e.Code, e.Body)
}

func newAPI(addr, vhost string) *API {
	return &API{
		base: "http://" + addr + "/api", vhost: vhost,
		http: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{}},
	}
}

func (a *API) close() { a.http.CloseIdleConnections() }

// Base is the API's address, such as "http://127.0.0.1:20001/api", for calls that have no method here.
func (a *API) Base() string { return a.base }

// Credentials are those of the administrator that the tests use.
func (a *API) Credentials() (name, secret string) { return user, password }

// Queues lists the virtual host's queues.
func (a *API) Queues(ctx context.Context) ([]Queue, error) {
	var out []Queue
	err := a.Do(ctx, http.MethodGet, a.path("queues"), nil, &out)
	return out, err
}

// Queue is one queue; a *StatusError with code 404 when there is none.
func (a *API) Queue(ctx context.Context, name string) (Queue, error) {
	var out Queue
	err := a.Do(ctx, http.MethodGet, a.path("queues", name), nil, &out)
	return out, err
}

// DeleteQueue deletes a queue with what is in it.
func (a *API) DeleteQueue(ctx context.Context, name string) error {
	return a.Do(ctx, http.MethodDelete, a.path("queues", name), nil, nil)
}

// DeleteExchange deletes an exchange with its bindings.
func (a *API) DeleteExchange(ctx context.Context, name string) error {
	return a.Do(ctx, http.MethodDelete, a.path("exchanges", name), nil, nil)
}

// Bindings lists the virtual host's bindings, those of the default exchange included.
func (a *API) Bindings(ctx context.Context) ([]Binding, error) {
	var out []Binding
	err := a.Do(ctx, http.MethodGet, a.path("bindings"), nil, &out)
	return out, err
}

// DeleteBinding deletes a binding as Bindings listed it.
func (a *API) DeleteBinding(ctx context.Context, b Binding) error {
	kind := "q"
	if b.DestinationType == "exchange" {
		kind = "e"
	}
	return a.Do(ctx, http.MethodDelete, a.path("bindings", "e", b.Source, kind, b.Destination, b.PropertiesKey), nil, nil)
}

// Connections lists the virtual host's connections. A new one may take some hundred milliseconds to be listed.
func (a *API) Connections(ctx context.Context) ([]Connection, error) {
	var all []Connection
	if err := a.Do(ctx, http.MethodGet, "/connections", nil, &all); err != nil {
		return nil, err
	}
	var out []Connection
	for _, c := range all {
		if c.VHost == a.vhost {
			out = append(out, c)
		}
	}
	return out, nil
}

// CloseConnection has the broker close a connection: connection.close with 320, CONNECTION_FORCED.
func (a *API) CloseConnection(ctx context.Context, name string) error {
	return a.Do(ctx, http.MethodDelete, "/connections/"+url.PathEscape(name), nil, nil)
}

// SetPolicy lays a policy over the queues or exchanges (applyTo: "queues", "exchanges", "all") that the pattern matches.
func (a *API) SetPolicy(ctx context.Context, name, pattern, applyTo string, definition map[string]any) error {
	return a.Do(ctx, http.MethodPut, a.path("policies", name), map[string]any{
		"pattern": pattern, "apply-to": applyTo, "definition": definition, "priority": 0,
	}, nil)
}

// CreateUser makes a user without tags who has these permissions in the virtual host. Delete it by DeleteUser: users
// are the broker's, not the virtual host's.
func (a *API) CreateUser(ctx context.Context, name, secret string, p Permissions) error {
	if err := a.Do(ctx, http.MethodPut, "/users/"+url.PathEscape(name), map[string]any{"password": secret, "tags": ""}, nil); err != nil {
		return err
	}
	return a.SetPermissions(ctx, name, p)
}

// SetPermissions changes what a user may do in the virtual host.
func (a *API) SetPermissions(ctx context.Context, name string, p Permissions) error {
	return a.Do(ctx, http.MethodPut, a.path("permissions", name), p, nil)
}

// DeleteUser deletes a user.
func (a *API) DeleteUser(ctx context.Context, name string) error {
	return a.Do(ctx, http.MethodDelete, "/users/"+url.PathEscape(name), nil, nil)
}

// Definitions exports the virtual host's queues, exchanges, bindings and policies.
func (a *API) Definitions(ctx context.Context) (map[string]any, error) {
	var out map[string]any
	err := a.Do(ctx, http.MethodGet, a.path("definitions"), nil, &out)
	return out, err
}

// Healthy is nil when no alarm is in effect.
func (a *API) Healthy(ctx context.Context) error {
	return a.Do(ctx, http.MethodGet, "/health/checks/alarms", nil, nil)
}

func (a *API) version(ctx context.Context) (string, error) {
	var out struct {
		Version string `json:"rabbitmq_version"`
	}
	err := a.Do(ctx, http.MethodGet, "/overview", nil, &out)
	return out.Version, err
}

func (a *API) createVHost(ctx context.Context) error {
	if err := a.Do(ctx, http.MethodPut, a.path("vhosts"), map[string]any{}, nil); err != nil {
		return err
	}
	return a.SetPermissions(ctx, user, Permissions{Configure: ".*", Write: ".*", Read: ".*"})
}

func (a *API) deleteVHost() error {
	return a.Do(context.Background(), http.MethodDelete, a.path("vhosts"), nil, nil)
}

// path is /kind/vhost/parts..., each part escaped.
func (a *API) path(kind string, parts ...string) string {
	var b strings.Builder
	b.WriteString("/" + kind + "/" + url.PathEscape(a.vhost))
	for _, part := range parts {
		b.WriteString("/" + url.PathEscape(part))
	}
	return b.String()
}

// Do is one call: path below /api, body and answer as JSON where not nil. A status of 300 and above is a *StatusError.
func (a *API) Do(ctx context.Context, method, path string, body, answer any) error {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("management API: %s %s: %w", method, path, err)
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, in)
	if err != nil {
		return fmt.Errorf("management API: %s %s: %w", method, path, err)
	}
	req.SetBasicAuth(user, password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.http.Do(req)
	if err != nil {
		return fmt.Errorf("management API: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("management API: %s %s: %w", method, path, err)
	}
	if resp.StatusCode >= 300 {
		return &StatusError{Code: resp.StatusCode, Method: method, Path: path, Body: string(text)}
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("management API: %s %s: %w", method, path, err)
	}
	return nil
}
