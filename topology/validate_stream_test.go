package topology

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestValidateStreamFaults(t *testing.T) {
	stream := func(q Queue) Topology {
		q.Name, q.Type = "s", Stream
		return queues(q)
	}
	quorum := func(q Queue) Topology {
		q.Name = "q"
		return queues(q)
	}
	for name, c := range map[string]struct {
		t    Topology
		want string
	}{
		"transient":          {stream(Queue{Transient: true}), "durable"},
		"TTL":                {stream(Queue{TTL: time.Second}), "TTL is for quorum and classic queues"},
		"expires":            {stream(Queue{Expires: time.Second}), "Expires is for"},
		"length":             {stream(Queue{MaxLength: 5}), "MaxLength is for"},
		"overflow":           {stream(Queue{Overflow: RejectPublish}), "Overflow is for"},
		"dead letters":       {stream(Queue{DeadLetterExchange: "amq.direct"}), "DeadLetterExchange is for"},
		"limit":              {stream(Queue{DeliveryLimit: 5}), "DeliveryLimit is for quorum queues"},
		"priority":           {stream(Queue{MaxPriority: 5}), "MaxPriority is for classic queues"},
		"single active":      {stream(Queue{SingleActive: true}), "SingleActive is for"},
		"consumer timeout":   {stream(Queue{ConsumerTimeout: time.Hour}), "RabbitMQ 4.3 refuses it"},
		"fraction of an age": {stream(Queue{MaxAge: time.Millisecond}), "whole seconds"},
		"negative age":       {stream(Queue{MaxAge: -time.Second}), "MaxAge is -1s"},
		"segment":            {stream(Queue{SegmentBytes: 3_000_000_001}), "SegmentBytes is"},
		"negative segment":   {stream(Queue{SegmentBytes: -1}), "SegmentBytes is"},
		"small filter":       {stream(Queue{FilterBytes: 15}), "16 to 255"},
		"large filter":       {stream(Queue{FilterBytes: 256}), "16 to 255"},
		"negative bytes":     {stream(Queue{MaxBytes: -1}), "negative"},
		"less than segment":  {stream(Queue{MaxBytes: 10, SegmentBytes: 11}), "less than one segment"},
		"age elsewhere":      {quorum(Queue{MaxAge: time.Hour}), "MaxAge is for stream queues"},
		"segment elsewhere":  {quorum(Queue{SegmentBytes: 5}), "SegmentBytes is for stream queues"},
		"locator":            {quorum(Queue{LeaderLocator: "ballanced"}), `did you mean "balanced"?`},
		"group":              {quorum(Queue{InitialGroupSize: -1}), "InitialGroupSize is -1"},
		"group of a classic": {queues(Queue{Name: "q", Type: Classic, InitialGroupSize: 3}), "InitialGroupSize is for quorum"},
		"classic locator":    {queues(Queue{Name: "q", Type: Classic, LeaderLocator: Balanced}), "RabbitMQ 3.10 refuses it on classic"},
		"classic timeout":    {queues(Queue{Name: "q", Type: Classic, ConsumerTimeout: time.Hour}), "older ones ignore it on classic"},
		"retry type":         {quorum(Queue{DelayedRetry: "faild", DelayedRetryMin: time.Second}), `did you mean "failed"?`},
		"retry without min":  {quorum(Queue{DelayedRetry: RetryAll}), "delays nothing"},
		"retry max":          {quorum(Queue{DelayedRetry: RetryAll, DelayedRetryMin: time.Minute, DelayedRetryMax: time.Second}), "below DelayedRetryMin"},
		"retry min alone":    {quorum(Queue{DelayedRetryMin: time.Minute}), "without a DelayedRetry"},
		"stream drops letters": {Topology{
			Queues: []Queue{{Name: "q", DeadLetterExchange: DefaultExchange, DeadLetterKey: "s"}, {Name: "s", Type: Stream, MaxAge: time.Hour}},
		}, "read or not"},
	} {
		t.Run(name, func(t *testing.T) { wantOneFault(t, c.t, c.want) })
	}
}

func TestValidateHeadersAndHash(t *testing.T) {
	bind := func(kind string, bs ...Binding) Topology {
		top := Topology{Exchanges: []Exchange{{Name: "e", Kind: kind}}, Queues: []Queue{{Name: "q"}, {Name: "r"}}}
		for _, b := range bs {
			b.Source = "e"
			if b.Destination == "" {
				b.Destination = "q"
			}
			top.Bindings = append(top.Bindings, b)
		}
		return top
	}
	for name, c := range map[string]struct {
		t    Topology
		want string // "" is no fault
	}{
		"match":            {bind("headers", Binding{Arguments: amqp.Table{"x-match": "any", "a": 1}}), ""},
		"match all":        {bind("headers", Binding{}), ""},
		"with x":           {bind("headers", Binding{Arguments: amqp.Table{"x-match": "any-with-x", "x-a": 1}}), ""},
		"x ignored":        {bind("headers", Binding{Arguments: amqp.Table{"x-a": 1}}), "such as x-a"},
		"any of none":      {bind("headers", Binding{Arguments: amqp.Table{"x-match": "any"}}), "nothing comes through"},
		"broker's headers": {Topology{Bindings: []Binding{{Source: "amq.headers", Destination: "q", Arguments: amqp.Table{"x-match": "any"}}}}, "nothing comes through"},
		"match on a topic": {bind("topic", Binding{Key: "#", Arguments: amqp.Table{"x-match": "all", "a": 1}}), "means nothing to a topic exchange"},
		"weights":          {bind(ConsistentHash, Binding{Key: "1"}, Binding{Key: "2", Destination: "r"}), ""},
		"no weight":        {bind(ConsistentHash, Binding{Key: "a.b"}), "is the weight here"},
		"weight 0":         {bind(ConsistentHash, Binding{Key: "0"}), "from 1 to 10000"},
		"great weight":     {bind(ConsistentHash, Binding{Key: "10001"}), "from 1 to 10000"},
		"bound twice":      {bind(ConsistentHash, Binding{Key: "1"}, Binding{Key: "2"}), "bound twice"},
		"header":           {exchanges(Exchange{Name: "e", Kind: ConsistentHash, HashHeader: "user"}), ""},
		"both":             {exchanges(Exchange{Name: "e", Kind: ConsistentHash, HashHeader: "user", HashProperty: "message_id"}), "exclude each other"},
		"property":         {exchanges(Exchange{Name: "e", Kind: ConsistentHash, HashProperty: "message-id"}), `did you mean "message_id"?`},
		"raw":              {exchanges(Exchange{Name: "e", Kind: ConsistentHash, Arguments: amqp.Table{"hash-header": "user"}}), "use the field HashHeader"},
		"raw typo":         {exchanges(Exchange{Name: "e", Kind: ConsistentHash, Arguments: amqp.Table{"hash-headr": "user"}}), `did you mean "hash-header"?`},
		"hash on a topic":  {exchanges(Exchange{Name: "e", Kind: "topic", HashHeader: "user"}), "for exchanges of kind"},
		"kind misspelt":    {exchanges(Exchange{Name: "e", Kind: "consistent-hash"}), `did you mean "x-consistent-hash"?`},
	} {
		t.Run(name, func(t *testing.T) {
			if c.want == "" {
				mustBeValid(t, c.t)
				return
			}
			wantOneFault(t, c.t, c.want)
		})
	}
}
