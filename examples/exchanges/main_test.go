package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

// asWanted is the outcome in which every message went where it had to.
func asWanted(d demo) []outcome {
	var got []outcome
	for _, m := range d.messages {
		o := outcome{queues: m.want}
		if len(m.want) == 0 {
			o.returned = "312 NO_ROUTE"
		}
		got = append(got, o)
	}
	return got
}

func TestCheck(t *testing.T) {
	for _, d := range demos() {
		t.Run(d.exchange, func(t *testing.T) {
			if err := d.check(asWanted(d)); err != nil {
				t.Errorf("all as wanted: %v", err)
			}
			for i, m := range d.messages {
				for name, wrong := range map[string]outcome{
					"nowhere":         {},
					"elsewhere":       {queues: []string{"elsewhere"}},
					"twice":           {queues: append([]string{"audit"}, append(m.want, m.want...)...)},
					"there, returned": {queues: append([]string{"x"}, m.want...), returned: "312 NO_ROUTE"},
				} {
					got := asWanted(d)
					got[i] = wrong
					if err := d.check(got); err == nil || !strings.Contains(err.Error(), m.key) {
						t.Errorf("key %q went %s: error %v, want one that names the key", m.key, name, err)
					}
				}
			}
		})
	}
}

func TestDemosAreValid(t *testing.T) {
	for _, d := range demos() {
		if err := d.topology(".x").Validate(); err != nil {
			t.Errorf("%s: %v", d.exchange, err)
		}
		bodies := make(map[string]bool)
		for _, m := range d.messages {
			if bodies[m.body] {
				t.Errorf("%s: two messages with body %q cannot be told apart", d.exchange, m.body)
			}
			bodies[m.body] = true
		}
	}
}

func TestShow(t *testing.T) {
	d := demos()[0]
	var out bytes.Buffer
	d.show(&out, asWanted(d))
	for _, want := range []string{`direct exchange "direct_logs"`, "-> errors", "-> warnings", "-> returned: 312 NO_ROUTE"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestBrokerOfItsOwn(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	if err := run(ctx, "", &out); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(out.String(), "All messages went where they had to go.\n") {
		t.Errorf("it says\n%s", out.String())
	}
}
