package bus

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

func TestConfigDefaults(t *testing.T) {
	c := Config{Workers: 80, Redact: strings.ToUpper}.withDefaults()
	if c.Exchange != "events" || c.Prefetch != 160 || c.Logger != slog.Default() || c.Unrouted != Fail {
		t.Errorf("%+v", c)
	}
	if c.Policy.Logger != c.Logger || c.Policy.Redact("x") != "X" {
		t.Error("the policy does not inherit Logger and Redact")
	}
	if c := (Config{}).withDefaults(); c.Workers != 1 || c.Prefetch != 100 || c.validate() != nil {
		t.Errorf("%+v, %v", c, c.validate())
	}
	own := func(string) string { return "own" }
	if c := (Config{Redact: strings.ToUpper, Policy: retry.Policy{Redact: own}}).withDefaults(); c.Policy.Redact("x") != "own" {
		t.Error("the policy's own Redact is overwritten")
	}
}

func TestConfigValidate(t *testing.T) {
	for field, c := range map[string]Config{
		"Unrouted":        {Unrouted: 9},
		"Workers":         {Workers: -1},
		"Prefetch":        {Workers: 10, Prefetch: 5},
		"DrainTimeout":    {DrainTimeout: -time.Second},
		"ConsumerTimeout": {ConsumerTimeout: -1},
		"Policy.Jitter":   {Policy: retry.Policy{Jitter: 99}},
		"Watchdog.Every":  {Watchdog: consumer.WatchdogConfig{Every: -1}},
	} {
		_, err := Open(context.Background(), nil, c)
		var bad *ConfigError
		if !errors.As(err, &bad) || bad.Field != field || !strings.Contains(err.Error(), bad.Fix) {
			t.Errorf("%v, want a *ConfigError for %s", err, field)
		}
	}
	if _, err := Open(context.Background(), nil, Config{Prefetch: 70_000}); err == nil {
		t.Error("a prefetch of 70000 does not fit basic.qos")
	}
}

func TestCheckSubscription(t *testing.T) {
	h := func(context.Context, Received) error { return nil }
	for _, c := range []struct {
		pattern, group string
		handler        Handler
		field          string // "" is fine
	}{
		{"video.*", "g", h, ""},
		{"#", "g", h, ""},
		{"*.video.#", "g", h, ""},
		{"video", "g", h, ""},
		{"video.*", "", h, "group"},
		{"", "g", h, "pattern"},
		{"vid*", "g", h, "pattern"},
		{"video.watch_#", "g", h, "pattern"},
		{"video.**", "g", h, "pattern"},
		{"video.*", "g", nil, "handler"},
	} {
		err := checkSubscription(c.pattern, c.group, c.handler != nil)
		var bad *ConfigError
		if (err == nil) != (c.field == "") || err != nil && (!errors.As(err, &bad) || bad.Field != c.field) {
			t.Errorf("pattern %q, group %q: %v, want a fault of %q", c.pattern, c.group, err, c.field)
		}
	}
}

// The states of a bus, without a broker: what is refused before any I/O.
func TestWhenToSubscribeAndRun(t *testing.T) {
	var bad *ConfigError
	b := &Bus{cfg: Config{}.withDefaults(), groups: make(map[string]*subscription)}
	if err := b.Run(t.Context()); !errors.As(err, &bad) || bad.Field != "Run" {
		t.Errorf("Run with no group: %v", err)
	}
	if err := b.reserve("g"); err != nil {
		t.Fatal(err)
	}
	if err := b.reserve("g"); !errors.As(err, &bad) || bad.Field != "group" {
		t.Errorf("a group twice: %v", err)
	}
	b.groups["g"], b.order = &subscription{}, []string{"g"}
	if _, _, err := b.start(func() {}); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(t.Context()); !errors.As(err, &bad) || bad.Field != "Run" {
		t.Errorf("Run twice: %v", err)
	}
	if err := b.reserve("h"); !errors.As(err, &bad) || bad.Field != "Subscribe" {
		t.Errorf("Subscribe while it runs: %v", err)
	}
	b.stop, b.closed = nil, true
	if err := b.Run(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Run after Close: %v", err)
	}
	if err := b.reserve("h"); !errors.Is(err, ErrClosed) {
		t.Errorf("Subscribe after Close: %v", err)
	}
}

// Every group has retries and a dead-letter queue of its own, without asking.
func TestTopologyOfAGroup(t *testing.T) {
	b := &Bus{cfg: Config{Ladder: topology.Ladder{Scope: "streaming"}}.withDefaults()}
	w := b.work("analytics_service_queue")
	if w.DeadLetterQueue != "analytics_service_queue.dlq" || !w.Backstop() || w.Ladder.Scope != "streaming" {
		t.Errorf("%q, backstop %v, ladder %+v", w.DeadLetterQueue, w.Backstop(), w.Ladder)
	}
	all := w.Merge(b.exchange(), b.work("other").Topology, topology.Topology{Bindings: []topology.Binding{
		{Source: "events", Destination: "analytics_service_queue", Key: "video.*"},
		{Source: "events", Destination: "other", Key: "video.*"},
	}})
	if err := all.Validate(); err != nil {
		t.Error(err)
	}
	b.cfg.Policy.BackOff = retry.Constant(365 * 24 * time.Hour)
	if err := b.work("g").Validate(); err == nil {
		t.Error("a policy that waits longer than the ladder is accepted")
	}
}
