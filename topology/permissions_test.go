package topology

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"
)

func TestPermissions(t *testing.T) {
	w := WorkQueue("orders", WorkConfig{Ladder: Ladder{Scope: "shop", Levels: 12}, Bindings: []Binding{{Source: "events", Key: "order.*"}}})
	got := w.Merge(Topology{Exchanges: []Exchange{{Name: "events", Kind: amqp.ExchangeTopic}}}).Permissions()
	want := Permissions{
		Configure: `^(events|hareline\.(dlx|v1\.100ms\.12\.shop\.(due|level\.(0[0-9]|1[01])|unclaimed))|orders(\.dlq)?)$`,
		Write:     `^(amq\.default|events|hareline\.(dlx|v1\.100ms\.12\.shop\.(due|level\.(0[0-9]|1[01])|unclaimed))|orders(\.dlq)?)$`,
		Read:      `^(events|hareline\.(dlx|v1\.100ms\.12\.shop\.(due|level\.(0[0-9]|1[01])|unclaimed))|orders(\.dlq)?)$`,
	}
	if got != want {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}

	// All of it declared by an admin: only what the program does with it.
	w = WorkQueue("orders", WorkConfig{Ladder: Ladder{External: true, Levels: 2}, DeadLetterExchangeExternal: true, DeadLetterQueueExternal: true})
	for i, q := range w.Queues {
		w.Queues[i] = Queue{Name: q.Name, External: true}
	}
	w.Bindings = nil
	want = Permissions{
		Configure: `^$`,
		Write:     `^(amq\.default|hareline\.(dlx|v1\.100ms\.2\.default\.level\.0[01]))$`,
		Read:      `^(hareline\.v1\.100ms\.2\.default\.unclaimed|orders(\.dlq)?)$`,
	}
	if got := w.Permissions(); got != want {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// What is not in the topology is needed all the same: RabbitMQ asks for write on a
// dead-letter exchange, and for read on the queue.
func TestPermissionsForDeadLetters(t *testing.T) {
	got := queues(Queue{Name: "q", DeadLetterExchange: "amq.direct", DeadLetterKey: "k"}).Permissions()
	if want := (Permissions{Configure: "^q$", Write: `^amq\.direct$`, Read: "^q$"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The expressions match the names they are made of, and no others.
func TestMatchExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[ab.*+?(\[\]é世$^|\\01-]{1,5}`)
		names := rapid.SliceOf(name).Draw(t, "names")
		pattern := matchExactly(names)
		re, err := regexp.Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range append(names, name.Draw(t, "other"), "a", "ab", "aa") {
			if re.MatchString(n) != slices.Contains(names, n) {
				t.Fatalf("%s of %q: %q", pattern, names, n)
			}
		}
	})
}

// 3.10 names the resource that was refused, and not the permission.
func TestMissingPermission(t *testing.T) {
	q := Queue{Name: "q", DeadLetterExchange: "dlx"}
	plainQueue := Queue{Name: "q"}
	b := Binding{Source: "e", Destination: "q"}
	to := Binding{Source: "e", Destination: "f", ToExchange: true}
	for resource, c := range map[string]struct {
		needs []right
		want  string
	}{
		"queue 'q'":      {q.needs(), "configure or read"},
		"exchange 'dlx'": {q.needs(), "write"},
		"queue 'q' ":     {plainQueue.needs(), "configure"},
		"queue 'q'  ":    {b.needs(), "write"},
		"exchange 'e'":   {b.needs(), "read"},
		"exchange 'e' ":  {to.needs(), "read"},
		"exchange 'f'":   {to.needs(), "write"},
		"exchange 'g'":   {Exchange{Name: "g", Alternate: "a"}.needs(), "configure or read"},
		"exchange 'a'":   {Exchange{Name: "g", Alternate: "a"}.needs(), "write"},
		"exchange 'x'":   {Exchange{Name: "g"}.needs(), ""},
	} {
		text := "ACCESS_REFUSED - access to " + strings.TrimSpace(resource) + " in vhost '/' refused for user 'u'"
		err := step{entity: "it", needs: c.needs}.explain(&amqp.Error{Code: 403, Reason: text, Server: true})
		var refused *PermissionError
		if !errors.As(err, &refused) || refused.Permission != c.want {
			t.Errorf("%s: %v, want %q", text, err, c.want)
		}
	}
}
