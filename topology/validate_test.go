package topology

import (
	"errors"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// withBox adds the dead-letter exchange "dlx" and a queue "box" bound by "dead".
func withBox(qs ...Queue) Topology {
	return Topology{
		Exchanges: []Exchange{{Name: "dlx", Kind: amqp.ExchangeDirect}},
		Queues:    append([]Queue{{Name: "box"}}, qs...),
		Bindings:  []Binding{{Source: "dlx", Destination: "box", Key: "dead"}},
	}
}

func queues(qs ...Queue) Topology       { return Topology{Queues: qs} }
func exchanges(es ...Exchange) Topology { return Topology{Exchanges: es} }

func TestValidateQueueFaults(t *testing.T) {
	long := strings.Repeat("n", 256)
	for name, c := range map[string]struct {
		t    Topology
		want string // in entity, problem or fix of the one fault
	}{
		"no name":                  {queues(Queue{}), "Name is empty"},
		"long name":                {queues(Queue{Name: long}), "256 bytes"},
		"no UTF-8":                 {queues(Queue{Name: "a\xff"}), "UTF-8"},
		"broker's name":            {queues(Queue{Name: "amq.gen-1"}), `"amq."`},
		"our name":                 {queues(Queue{Name: "hareline.mine"}), `"hareline."`},
		"altered ladder":           {queues(Queue{Name: Ladder{}.Unclaimed(), MaxLength: 5, Overflow: DropHead}), `"hareline."`},
		"type":                     {queues(Queue{Name: "q", Type: "steam"}), `did you mean "stream"?`},
		"quorum transient":         {queues(Queue{Name: "q", Transient: true}), "durable"},
		"quorum auto-delete":       {queues(Queue{Name: "q", AutoDelete: true}), "durable"},
		"quorum exclusive":         {queues(Queue{Name: "q", Exclusive: true}), "durable"},
		"quorum priority":          {queues(Queue{Name: "q", MaxPriority: 5}), "MaxPriority"},
		"limit -1":                 {queues(Queue{Name: "q", DeliveryLimit: -1}), "set it to Unlimited"},
		"limit without exchange":   {queues(Queue{Name: "q", DeliveryLimit: 20}), "deleted after 21 deliveries"},
		"classic limit":            {queues(Queue{Name: "q", Type: Classic, DeliveryLimit: 5}), "DeliveryLimit is for quorum"},
		"classic strategy":         {withBox(Queue{Name: "q", Type: Classic, DeadLetterExchange: "dlx", DeadLetterKey: "dead", DeadLetterStrategy: AtLeastOnce}), "DeadLetterStrategy is for quorum"},
		"classic transient":        {queues(Queue{Name: "q", Type: Classic, Transient: true}), "not exclusive"},
		"bounded without overflow": {queues(Queue{Name: "q", MaxLength: 5}), "drops the oldest"},
		"bytes without overflow":   {queues(Queue{Name: "q", MaxBytes: 5}), "drops the oldest"},
		"negative length":          {queues(Queue{Name: "q", MaxLength: -5}), "negative"},
		"reject-publish-dlx":       {queues(Queue{Name: "q", Overflow: "reject-publish-dlx"}), "doubles"},
		"overflow":                 {queues(Queue{Name: "q", Overflow: "drop"}), `Overflow is "drop"`},
		"key without exchange":     {queues(Queue{Name: "q", DeadLetterKey: "k"}), "without a DeadLetterExchange"},
		"strategy without":         {queues(Queue{Name: "q", DeadLetterStrategy: AtMostOnce}), "without a DeadLetterExchange"},
		"strategy":                 {withBox(Queue{Name: "q", DeadLetterExchange: "dlx", DeadLetterKey: "dead", DeadLetterStrategy: "once"}), `DeadLetterStrategy is "once"`},
		"at-least-once drops":      {withBox(Queue{Name: "q", DeadLetterExchange: "dlx", DeadLetterKey: "dead", DeadLetterStrategy: AtLeastOnce, Overflow: DropHead}), "at most once"},
		"negative TTL":             {queues(Queue{Name: "q", TTL: -time.Second}), "TTL is negative"},
		"fraction of a TTL":        {queues(Queue{Name: "q", TTL: 1500 * time.Microsecond}), "whole milliseconds"},
		"long TTL":                 {queues(Queue{Name: "q", TTL: longestTTL + time.Millisecond}), "ten years"},
		"long Expires":             {queues(Queue{Name: "q", Expires: longestTTL + time.Millisecond}), "ten years"},
		"twins":                    {queues(Queue{Name: "q"}, Queue{Name: "q", TTL: time.Second}), "TTL is 0s and 1s"},
	} {
		t.Run(name, func(t *testing.T) { wantOneFault(t, c.t, c.want) })
	}
}

func wantOneFault(t *testing.T, top Topology, want string) {
	t.Helper()
	fs := faultsOf(t, top)
	if len(fs) != 1 {
		t.Fatalf("%d faults, want 1: %v", len(fs), fs)
	}
	if !strings.Contains(fs[0].Error(), want) {
		t.Fatalf("fault %q does not say %q", fs[0].Error(), want)
	}
	if fs[0].Entity == "" || fs[0].Problem == "" || fs[0].Fix == "" {
		t.Fatalf("incomplete fault: %+v", fs[0])
	}
}

func TestValidateArguments(t *testing.T) {
	q := func(typ QueueType, name string, value any) Topology {
		return queues(Queue{Name: "q", Type: typ, Arguments: amqp.Table{name: value}})
	}
	for name, c := range map[string]struct {
		t    Topology
		want string
	}{
		"max retries":         {q(Quorum, "x-max-retries", 3), "retry policy"},
		"max retries, no x":   {q(Classic, "max-retries", 3), "retry policy"},
		"typo":                {q(Quorum, "x-mesage-ttl", 3), `did you mean "x-message-ttl"?`},
		"underscores, no x":   {q(Quorum, "delivery_limit", 3), `did you mean "x-delivery-limit"?`},
		"nothing near":        {q(Quorum, "x-foo", 3), "would ignore it;"},
		"field":               {q(Quorum, "x-message-ttl", 3), "use the field TTL"},
		"newer":               {q(Quorum, "x-delayed-retry-type", "all"), "use the field DelayedRetry"},
		"timeout":             {q(Quorum, "x-consumer-timeout", 5), "use the field ConsumerTimeout"},
		"locator":             {q(Classic, "x-queue-leader-locator", "balanced"), "use the field LeaderLocator"},
		"queue type":          {q(Classic, "x-queue-type", "quorum"), "use the field Type"},
		"age":                 {q(Stream, "x-max-age", "7D"), "use the field MaxAge"},
		"ha":                  {q(Classic, "x-ha-policy", "all"), "RabbitMQ 4.0 has none"},
		"a consumer's":        {q(Stream, "x-stream-offset", "first"), "basic.consume"},
		"queue mode":          {q(Classic, "x-queue-mode", "lasy"), `"lazy"`},
		"queue version":       {q(Classic, "x-queue-version", 1), "4.3 refuses 1"},
		"not a number":        {q(Quorum, "x-quorum-target-group-size", "3"), "whole number"},
		"negative number":     {q(Quorum, "x-max-in-memory-length", -1), "not negative"},
		"other type":          {q(Quorum, "x-queue-mode", "lazy"), "not for quorum"},
		"other type, classic": {q(Classic, "x-quorum-target-group-size", 3), "not for classic"},
		"closes":              {q(Classic, "x-queue-master-locator", "min-masters"), "field LeaderLocator"},
		"no wire type":        {queues(Queue{Name: "q", Unchecked: amqp.Table{"x-foo": struct{}{}}}), "Unchecked:"},
		"past the checks":     {queues(Queue{Name: "q", Unchecked: amqp.Table{"x-dead-letter-exchange": "a"}}), "use the field DeadLetterExchange"},
		"long argument":       {queues(Queue{Name: "q", Unchecked: amqp.Table{strings.Repeat("a", 256): 1}}), "256 bytes"},
		"exchange":            {exchanges(Exchange{Name: "e", Kind: "topic", Arguments: amqp.Table{"alternate_exchange": "a"}}), `did you mean "alternate-exchange"?`},
		"exchange field":      {exchanges(Exchange{Name: "e", Kind: "topic", Arguments: amqp.Table{"alternate-exchange": "a"}}), "use the field Alternate"},
	} {
		t.Run(name, func(t *testing.T) { wantOneFault(t, c.t, c.want) })
	}
}

func TestValidateExchangeAndBindingFaults(t *testing.T) {
	long := strings.Repeat("k", 256)
	bind := func(b Binding) Topology {
		return Topology{
			Exchanges: []Exchange{{Name: "e", Kind: "topic"}, {Name: "f", Kind: "topic"}},
			Queues:    []Queue{{Name: "q"}},
			Bindings:  []Binding{b},
		}
	}
	for name, c := range map[string]struct {
		t    Topology
		want string
	}{
		"no name":              {exchanges(Exchange{Kind: "topic"}), "Name is empty"},
		"no kind":              {exchanges(Exchange{Name: "e"}), `Kind is ""`},
		"kind typo":            {exchanges(Exchange{Name: "e", Kind: "fan-out"}), `did you mean "fanout"?`},
		"broker's":             {exchanges(Exchange{Name: "amq.mine", Kind: "topic"}), "broker's own"},
		"ours":                 {exchanges(Exchange{Name: "hareline.dlx", Kind: "topic"}), "reserved"},
		"default exchange":     {exchanges(Exchange{Name: DefaultExchange, External: true}), "cannot be declared"},
		"alternate missing":    {exchanges(Exchange{Name: "e", Kind: "topic", Alternate: "f"}), "not in the topology"},
		"alternate default":    {exchanges(Exchange{Name: "e", Kind: "topic", Alternate: DefaultExchange}), "not in the topology"},
		"alternate empty":      {exchanges(Exchange{Name: "e", Kind: "topic", Alternate: "f"}, Exchange{Name: "f", Kind: "fanout"}), "no queue is bound"},
		"alternate of itself":  {exchanges(Exchange{Name: "e", Kind: "topic", Alternate: "e"}), "circle"},
		"twins":                {exchanges(Exchange{Name: "e", Kind: "topic"}, Exchange{Name: "e", Kind: "direct"}), "Kind is topic and direct"},
		"no source":            {bind(Binding{Destination: "q"}), "default exchange cannot be bound"},
		"default source":       {bind(Binding{Source: DefaultExchange, Destination: "q"}), "default exchange cannot be bound"},
		"no destination":       {bind(Binding{Source: "e"}), "Destination is empty"},
		"long source":          {bind(Binding{Source: long, Destination: "q"}), "256 bytes"},
		"long key":             {bind(Binding{Source: "e", Destination: "q", Key: long}), "256 bytes"},
		"destination exchange": {bind(Binding{Source: "e", Destination: "f"}), "set ToExchange"},
		"destination queue":    {bind(Binding{Source: "e", Destination: "q", ToExchange: true}), "clear ToExchange"},
		"x-match":              {bind(Binding{Source: "e", Destination: "q", Arguments: amqp.Table{"x-match": "some"}}), "x-match is some"},
		"levels":               {Topology{Ladders: []Ladder{{Levels: 25}}}, "1 to 24"},
		"negative levels":      {Topology{Ladders: []Ladder{{Levels: -1}}}, "1 to 24"},
	} {
		t.Run(name, func(t *testing.T) { wantOneFault(t, c.t, c.want) })
	}
}

func TestValidateAccepts(t *testing.T) {
	for name, top := range map[string]Topology{
		"nothing":              {},
		"a queue":              queues(Queue{Name: "q"}),
		"a letter box":         withBox(Queue{Name: "q", DeadLetterExchange: "dlx", DeadLetterKey: "dead"}),
		"at most once":         withBox(Queue{Name: "q", DeadLetterExchange: "dlx", DeadLetterKey: "dead", Overflow: DropHead, MaxLength: 5}),
		"default exchange":     queues(Queue{Name: "q", DeadLetterExchange: DefaultExchange, DeadLetterKey: "box"}, Queue{Name: "box"}),
		"box elsewhere":        queues(Queue{Name: "q", DeadLetterExchange: DefaultExchange, DeadLetterKey: "box"}, Queue{Name: "box", External: true}),
		"exchange elsewhere":   {Exchanges: []Exchange{{Name: "dlx", External: true}}, Queues: []Queue{{Name: "q", DeadLetterExchange: "dlx"}}},
		"broker's exchange":    queues(Queue{Name: "q", DeadLetterExchange: "amq.direct", DeadLetterKey: "k"}),
		"external broker's":    exchanges(Exchange{Name: "amq.topic", External: true}),
		"ends elsewhere":       {Bindings: []Binding{{Source: "e", Destination: "q", Key: "k"}}},
		"headers":              {Exchanges: []Exchange{{Name: "h", Kind: "headers"}}, Bindings: []Binding{{Source: "h", Destination: "q", Arguments: amqp.Table{"x-match": "any", "kind": "a"}}}},
		"plugin":               exchanges(Exchange{Name: "e", Kind: ConsistentHash, HashHeader: "user"}),
		"other plugin":         exchanges(Exchange{Name: "e", Kind: "x-delayed-message", Arguments: amqp.Table{"x-delayed-type": "topic"}}),
		"known arguments":      queues(Queue{Name: "q", Arguments: amqp.Table{"x-quorum-target-group-size": 3, "x-max-in-memory-length": int32(0)}}),
		"unchecked":            queues(Queue{Name: "q", Unchecked: amqp.Table{"x-foo": 3}}),
		"exclusive classic":    queues(Queue{Name: "q", Type: Classic, Exclusive: true, Transient: true}),
		"expressly unlimited":  queues(Queue{Name: "q", DeliveryLimit: Unlimited}),
		"the shared ladder":    {Ladders: []Ladder{{}}},
		"a spelt-out ladder":   Ladder{Scope: "a.b", Levels: 5}.Topology(),
		"equal twins":          queues(Queue{Name: "q"}, Queue{Name: "q", Type: Quorum, DeliveryLimit: Unlimited}),
		"a stream is not full": {Queues: []Queue{{Name: "s", Type: Stream, MaxBytes: 1 << 40}}, Bindings: []Binding{Ladder{}.Binding("s")}},
		"the shared exchange":  exchanges(Exchange{Name: "hareline.dlx", Kind: "direct"}),
	} {
		t.Run(name, func(t *testing.T) { mustBeValid(t, top) })
	}
}

func TestValidateTellsAllAtOnce(t *testing.T) {
	top := Topology{
		Exchanges: []Exchange{{Name: "e", Kind: "fanuot"}},
		Queues:    []Queue{{Name: "a", MaxLength: 1}, {Name: "b", TTL: -1}},
		Bindings:  []Binding{{Source: "", Destination: "a"}},
		Ladders:   []Ladder{{Levels: 99}},
	}
	err := top.Validate()
	var ve *ValidationError
	if !errors.As(err, &ve) || len(ve.Faults) != 5 {
		t.Fatalf("want 5 faults, got: %v", err)
	}
	for _, f := range ve.Faults {
		if !errors.Is(err, f) {
			t.Errorf("errors.Is does not find %v", f)
		}
		if !strings.Contains(err.Error(), f.Error()) {
			t.Errorf("the text does not tell %v", f)
		}
	}
}

func TestLongScope(t *testing.T) {
	wantOneFault(t, Topology{Ladders: []Ladder{{Scope: strings.Repeat("s", 240), Levels: 1}}}.justLadderFaults(), "Scope makes a name of")
}

// justLadderFaults keeps what the ladder itself gets, not each of its entities.
func (t Topology) justLadderFaults() Topology {
	r := &report{}
	for _, l := range t.Ladders {
		l.check(r)
	}
	return Topology{faults: r.faults}
}
