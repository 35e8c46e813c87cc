package topology

import (
	"context"
	"errors"
	"fmt"

	"github.com/hareline/hareline/link"
)

// OnMismatch says what to do when an entity exists with other arguments.
type OnMismatch uint8

const (
	// Fail ends the declaration with a *MismatchError.
	Fail OnMismatch = iota
	// UseExisting takes what exists, if the management API shows that it keeps all
	// that the topology wants: it is not bounded lower, drops nothing, expires
	// nothing earlier, sends its dead letters to the same place as safely, gives up
	// no sooner, routes the same. Otherwise it is Fail. So processes of two releases
	// can run side by side when a limit is raised, in either order (R 23).
	UseExisting
)

// DeclareConfig says how DeclareWith differs from Declare.
type DeclareConfig struct {
	OnMismatch OnMismatch
	// Management is for UseExisting, and only asked about entities that differ.
	Management Management
}

func (c DeclareConfig) validate() error {
	switch c.OnMismatch {
	case Fail:
		return nil
	case UseExisting:
		if c.Management.URL == "" {
			return errors.New("topology: DeclareConfig.OnMismatch UseExisting needs the management API, because AMQP names one difference only; set Management.URL")
		}
		return c.Management.validate()
	}
	return fmt.Errorf("topology: DeclareConfig.OnMismatch is %d; set it to Fail or UseExisting", c.OnMismatch)
}

// DeclareWith is [Declare], and can take entities as they are. The report lists what was
// taken and how it differs; it is empty where all is as in t. After a *MismatchError of
// UseExisting, its Weaker says what of the existing entity would not do.
func DeclareWith(ctx context.Context, l *link.Link, t Topology, cfg DeclareConfig) (Report, error) {
	if err := cfg.validate(); err != nil {
		return Report{}, err
	}
	if err := t.Validate(); err != nil {
		return Report{}, err
	}
	d := &declarer{open: func(ctx context.Context) (session, error) { return l.Session(ctx, link.Consuming) }}
	defer d.close(ctx)
	var r Report
	for _, s := range plan(t) {
		err := d.run(ctx, s)
		var differs *MismatchError
		if errors.As(err, &differs) && cfg.OnMismatch == UseExisting && s.compare != nil {
			err = r.take(ctx, s, cfg.Management.withDefaults(), differs)
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// take takes what exists, if it will do.
func (r *Report) take(ctx context.Context, s step, m Management, differs *MismatchError) error {
	all, err := s.compare(ctx, m)
	if err != nil {
		return errors.Join(differs, err)
	}
	seen := false // what the broker refused must be among it: else m shows another broker
	for _, d := range all {
		seen = seen || d.argument == differs.Argument
		if d.weaker != "" {
			differs.Weaker = append(differs.Weaker, fmt.Sprintf("%s: %s", d.argument, d.weaker))
		}
	}
	if !seen {
		differs.Weaker = append(differs.Weaker, fmt.Sprintf("the management API does not show this difference (is it of the same broker and virtual host, %s?)", m.VHost))
	}
	if len(differs.Weaker) > 0 {
		return differs
	}
	r.differences(s.entity, all)
	return nil
}

func (q Queue) compare(ctx context.Context, m Management) ([]difference, error) {
	have, found, err := m.queue(ctx, q.Name)
	if err != nil || !found {
		return nil, err
	}
	return compareQueue(q, have), nil
}

func (e Exchange) compare(ctx context.Context, m Management) ([]difference, error) {
	have, found, err := m.exchange(ctx, e.Name)
	if err != nil || !found {
		return nil, err
	}
	return compareExchange(e, have), nil
}
