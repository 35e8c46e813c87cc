package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/link"
)

// FindingKind is what a Finding is.
type FindingKind string

// The kinds of findings.
const (
	// Missing is in the topology, and not on the broker.
	Missing FindingKind = "missing"
	// Differs exists with another argument.
	Differs FindingKind = "differs"
	// Undeclared is a binding on the broker that the topology has not: it brings
	// messages into a queue of the topology, or copies of them elsewhere.
	Undeclared FindingKind = "undeclared"
	// Leftover is an Undeclared binding between ends that the topology binds by
	// another key: what a subscription was before it changed. Bindings add up: the
	// queue gets the old messages, too.
	Leftover FindingKind = "leftover"
)

// Finding is one way in which the broker is not what the topology says.
type Finding struct {
	Kind     FindingKind
	Entity   string // `queue "orders"`
	Argument string // of Differs: "x-message-ttl", "durable"..., with the policy it comes from
	Have     string // of Differs: the broker's value, "none" where it has none
	Want     string // of Differs: the topology's value
	// Weaker is why that keeps less of the guarantee, or does something else than
	// Validate checked; "" is that it does not.
	Weaker string
	Fix    string
}

// String is the finding in one line.
func (f Finding) String() string {
	s := f.Entity + " is " + string(f.Kind)
	if f.Kind == Differs {
		s = fmt.Sprintf("%s: %s is %s, the topology wants %s", f.Entity, f.Argument, f.Have, f.Want)
	}
	if f.Weaker != "" {
		s += ": " + f.Weaker
	}
	return s + "; fix: " + f.Fix
}

// Report is what Verify found.
type Report struct {
	Findings []Finding // in the order of the topology
	// Unchecked says what could not be looked at, and why.
	Unchecked []string
}

// String lists all, one a line.
func (r Report) String() string {
	var lines []string
	for _, f := range r.Findings {
		lines = append(lines, f.String())
	}
	for _, u := range r.Unchecked {
		lines = append(lines, "not checked: "+u)
	}
	return strings.Join(lines, "\n")
}

func (r *Report) differences(entity string, all []difference) {
	for _, d := range all {
		fix := "put what exists into the topology, or move to a new name: it cannot be changed in place"
		if d.weaker == "" {
			fix = "leave it: UseExisting takes it; or put what exists into the topology"
		}
		if strings.Contains(d.argument, "policy") {
			fix = "change the policy"
		}
		r.Findings = append(r.Findings, Finding{Kind: Differs, Entity: entity, Argument: d.argument, Have: d.have, Want: d.want, Weaker: d.weaker, Fix: fix})
	}
}

// Verify compares the broker with t, and declares nothing. What is External is only
// looked for, but for ladders: what they are made of is known.
//
// m shows arguments, policies and bindings; also bindings that t has not, where they
// bring messages into queues of t, and where they take copies from a dead-letter exchange
// or a ladder. Without it (its zero value) AMQP can only tell what is missing, and
// Unchecked says so. One request is made for each entity.
//
// Errors: *ValidationError, *ManagementError, and that m looks at another broker or
// virtual host than l, as far as that shows. Findings are no error.
func Verify(ctx context.Context, l *link.Link, t Topology, m Management) (Report, error) {
	if err := t.Validate(); err != nil {
		return Report{}, err
	}
	d := &declarer{open: func(ctx context.Context) (session, error) { return l.Session(ctx, link.Consuming) }}
	defer d.close(ctx)
	v := &verifier{d: d}
	if m.URL == "" {
		err := v.exist(ctx, t.flat())
		v.r.Unchecked = append(v.r.Unchecked, "arguments and bindings: AMQP does not show them; give Management.URL")
		return v.r, err
	}
	if err := m.validate(); err != nil {
		return Report{}, err
	}
	v.m = m.withDefaults()
	err := v.all(ctx, t)
	return v.r, err
}

// verifier fills a report.
type verifier struct {
	d *declarer
	m Management
	r Report
}

// exist looks for everything by AMQP.
func (v *verifier) exist(ctx context.Context, f Topology) error {
	for _, e := range f.Exchanges {
		e.External = true
		if err := v.look(ctx, e.entity(), e.declare); err != nil {
			return err
		}
	}
	for _, q := range f.Queues {
		q.External = true
		if err := v.look(ctx, q.entity(), q.declare); err != nil {
			return err
		}
	}
	return nil
}

// look asks AMQP for one entity.
func (v *verifier) look(ctx context.Context, entity string, call func(ch *amqp.Channel) error) error {
	err := v.d.run(ctx, step{entity: entity, call: call})
	var missing *MissingError
	var refused *PermissionError
	var broker *amqp.Error
	switch {
	case errors.As(err, &missing):
		v.missing(entity)
	case errors.As(err, &refused):
		v.r.Unchecked = append(v.r.Unchecked, entity+": the user has no right on it, and may not look (F 8)")
	case errors.As(err, &broker) && broker.Code == amqp.ResourceLocked:
		v.r.Unchecked = append(v.r.Unchecked, entity+": it is exclusive to another connection")
	default:
		return err
	}
	return nil
}

func (v *verifier) missing(entity string) {
	v.r.Findings = append(v.r.Findings, Finding{Kind: Missing, Entity: entity, Fix: "declare it"})
}

// all compares everything by the management API.
func (v *verifier) all(ctx context.Context, t Topology) error {
	f := t.flat()
	for _, l := range t.Ladders {
		if l.External { // its parts are known, though they are not ours to declare
			f = l.own().flat().Merge(f.without(l))
		}
	}
	for _, e := range f.Exchanges {
		if err := v.exchange(ctx, e.withDefaults()); err != nil {
			return err
		}
	}
	for _, q := range f.Queues {
		if err := v.queue(ctx, q.withDefaults()); err != nil {
			return err
		}
	}
	return v.bindings(ctx, f)
}

// without is t without the exchanges and queues of a ladder.
func (t Topology) without(l Ladder) Topology {
	own := l.Topology()
	t.Exchanges = slices.DeleteFunc(slices.Clone(t.Exchanges), func(e Exchange) bool {
		return slices.ContainsFunc(own.Exchanges, func(o Exchange) bool { return o.Name == e.Name })
	})
	t.Queues = slices.DeleteFunc(slices.Clone(t.Queues), func(q Queue) bool {
		return slices.ContainsFunc(own.Queues, func(o Queue) bool { return o.Name == q.Name })
	})
	return t
}

func (v *verifier) exchange(ctx context.Context, e Exchange) error {
	have, found, err := v.m.exchange(ctx, e.Name)
	switch {
	case err != nil:
		return err
	case !found:
		return v.confirmMissing(ctx, e.entity(), Exchange{Name: e.Name, External: true}.declare)
	case !e.External:
		v.r.differences(e.entity(), compareExchange(e, have))
	}
	return nil
}

func (v *verifier) queue(ctx context.Context, q Queue) error {
	have, found, err := v.m.queue(ctx, q.Name)
	switch {
	case err != nil:
		return err
	case !found:
		return v.confirmMissing(ctx, q.entity(), Queue{Name: q.Name, External: true}.declare)
	case !q.External:
		v.r.differences(q.entity(), compareQueue(q, have))
	}
	return nil
}

// confirmMissing asks AMQP too: where it has what the management API has not, that one
// speaks of something else.
func (v *verifier) confirmMissing(ctx context.Context, entity string, call func(ch *amqp.Channel) error) error {
	before := len(v.r.Findings) + len(v.r.Unchecked)
	if err := v.look(ctx, entity, call); err != nil {
		return err
	}
	if len(v.r.Findings)+len(v.r.Unchecked) > before {
		return nil
	}
	return fmt.Errorf("topology: %s is there by AMQP, and not in the management API: it looks at another broker or virtual host (%s); set Management.URL and VHost to those of the link", entity, v.m.VHost)
}
