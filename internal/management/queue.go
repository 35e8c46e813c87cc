package management

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Queue is what the API says of one queue. The numbers are from statistics, which nodes
// send every 5 s: they are absent for the first seconds of a queue, of a queue whose node
// is down, and where statistics are off. (The state of a classic queue is "running" then
// all the same: seen on 4.0.)
type Queue struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	State string `json:"state"`

	Messages  Count `json:"messages"` // all: ready, unacked, and held
	Ready     Count `json:"messages_ready"`
	Unacked   Count `json:"messages_unacknowledged"`
	Held      Count `json:"messages_dlx"` // by at-least-once dead-lettering; quorum queues
	Consumers Count `json:"consumers"`

	// HeadTimestamp is the property timestamp of the oldest message, in seconds; of
	// classic queues alone.
	HeadTimestamp Count `json:"head_message_timestamp"`

	Members Names `json:"members"` // nodes with a replica
	Online  Names `json:"online"`

	Stats Stats `json:"message_stats"`
}

// Stats are counters since the queue was there. A counter is absent until it counts, and for
// good where Client.Counts says so. Only what clients publish counts, not what the broker
// dead-letters into the queue.
//
// RabbitMQ's own rates are left out: at times they are too large by orders of magnitude
// (rabbitmq-server issues 8418 and 10066).
type Stats struct {
	Publish      Count `json:"publish"`
	Ack          Count `json:"ack"`
	DeliverNoAck Count `json:"deliver_no_ack"`
	GetNoAck     Count `json:"get_no_ack"`
}

// UnmarshalJSON takes an array as an empty object: so RabbitMQ writes one at times.
func (s *Stats) UnmarshalJSON(text []byte) error {
	*s = Stats{}
	if bytes.Equal(bytes.Join(bytes.Fields(text), nil), []byte("[]")) {
		return nil
	}
	type plain Stats
	return json.Unmarshal(text, (*plain)(s))
}

// columns are the fields of Queue: a queue with a thousand consumers has a long answer.
const columns = "name,type,state,messages,messages_ready,messages_unacknowledged,messages_dlx,consumers," +
	"head_message_timestamp,members,online,message_stats"

// Queue asks for one queue. found is false where there is none. Errors are *Error.
func (c Client) Queue(ctx context.Context, name string) (q Queue, found bool, err error) {
	r, err := c.ask(ctx, smallAnswer, url.Values{"columns": {columns}}, "queues", c.VHost, name)
	if err != nil {
		return Queue{}, false, err
	}
	if found, err = r.found(); !found || err != nil {
		return Queue{}, false, err
	}
	if err := r.decode(&q); err != nil {
		return Queue{}, false, err
	}
	if q.Name != name {
		return Queue{}, false, r.nonsense("it tells of the queue %.80q", q.Name)
	}
	for field, count := range map[string]Count{
		"messages": q.Messages, "messages_ready": q.Ready, "messages_unacknowledged": q.Unacked, "messages_dlx": q.Held,
		"consumers": q.Consumers, "publish": q.Stats.Publish, "ack": q.Stats.Ack,
		"deliver_no_ack": q.Stats.DeliverNoAck, "get_no_ack": q.Stats.GetNoAck,
	} {
		if err := count.whole(field); err != nil {
			return Queue{}, false, r.nonsense("%w", err)
		}
	}
	return q, true, nil
}

// Counts tells whether the broker counts what goes through queues: their Stats. It does not
// with management.rates_mode none, nor with management.disable_stats. Any user of the API
// may ask. Errors are *Error.
func (c Client) Counts(ctx context.Context) (bool, error) {
	r, err := c.ask(ctx, smallAnswer, url.Values{"columns": {"rates_mode,disable_stats"}}, "overview")
	if err != nil {
		return false, err
	}
	if r.status != http.StatusOK {
		return false, r.refused()
	}
	var answer struct {
		Mode string `json:"rates_mode"`
		Off  bool   `json:"disable_stats"`
	}
	if err := r.decode(&answer); err != nil {
		return false, err
	}
	if answer.Mode == "" {
		return false, r.nonsense("it tells no rates_mode")
	}
	return answer.Mode != "none" && !answer.Off, nil
}

// Alarm is a resource alarm of a node, which blocks publishers of the whole cluster.
type Alarm struct {
	Node     string `json:"node"`
	Resource string `json:"resource"` // memory, disk
}

// Alarms asks for the alarms in the cluster. Any user of the API may ask. Errors are
// *Error.
func (c Client) Alarms(ctx context.Context) ([]Alarm, error) {
	r, err := c.ask(ctx, smallAnswer, nil, "health", "checks", "alarms")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Status string  `json:"status"`
		Alarms []Alarm `json:"alarms"`
	}
	switch r.status {
	case http.StatusOK:
		if err := r.decode(&answer); err != nil {
			return nil, err
		}
		if answer.Status != "ok" || len(answer.Alarms) > 0 {
			return nil, r.nonsense("it answers 200 with the status %.60q and %d alarms", answer.Status, len(answer.Alarms))
		}
		return nil, nil
	case http.StatusServiceUnavailable: // also a proxy's answer, when there is no broker
		if r.decode(&answer) == nil && answer.Status == "failed" && len(answer.Alarms) > 0 {
			return answer.Alarms, nil
		}
	}
	return nil, r.refused()
}
