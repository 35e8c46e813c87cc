package retry

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Class gives some errors a policy of their own, see [Policy.Classes]. A field
// that is zero takes the value of the Policy that it stands in.
type Class struct {
	// Match says which errors these are. It must be pure: it is called from many
	// goroutines. It is asked about errors that are transient or that no rule
	// knows; those become transient by it.
	Match func(err error) bool

	// MaxRetries is Policy.MaxRetries: the message is buried when it has had so
	// many, of whatever class. Negative means none. 0 means as many as a BackOff
	// of this class that ends has delays, else those of the Policy.
	MaxRetries int
	// MaxElapsed is Policy.MaxElapsed. Negative means no such end.
	MaxElapsed time.Duration
	// BackOff is Policy.BackOff. It is stepped by the message's retries so far,
	// of whatever class.
	BackOff func() backoff.BackOff
	// Jitter is Policy.Jitter.
	Jitter Jitter
	// Immediate is Policy.Immediate. Negative means none.
	Immediate int
	// Budget is Policy.Budget. Every first attempt counts for it, not only those
	// that will fail with an error of this class.
	Budget *Budget
}

// over is the policy for errors of this class; p has its defaults.
func (c Class) over(p Policy) Policy {
	p.Classes, p.classes = nil, nil
	switch n, ends := retriesOf(c.BackOff); {
	case c.MaxRetries != 0:
		p.MaxRetries = atMost(c.MaxRetries)
	case ends:
		p.MaxRetries = atMost(n)
	}
	if c.MaxElapsed != 0 {
		p.MaxElapsed = c.MaxElapsed
	}
	if c.BackOff != nil {
		p.BackOff = c.BackOff
	}
	if c.Jitter != ScheduleJitter {
		p.Jitter = c.Jitter
	}
	if c.Immediate != 0 {
		p.Immediate = max(c.Immediate, 0)
	}
	if c.Budget != nil {
		p.Budget = c.Budget
	}
	return p
}

// of is the policy for err, and whether a class of its own knows it.
func (p Policy) of(err error) (Policy, bool) {
	for i, c := range p.Classes {
		if c.Match != nil && c.Match(err) {
			return p.classes[i], true
		}
	}
	return p, false
}

// judge is what err means, and the policy for it.
func (p Policy) judge(err error) (Verdict, Policy) {
	v, known := classify(err, p.Rules)
	if known && v != VerdictTransient {
		return v, p
	}
	own, matched := p.of(err)
	switch {
	case known:
	case matched:
		v = VerdictTransient
	default:
		v = p.Unknown
	}
	return v, own
}

// budgets are those that the policy and its classes draw on, each once.
func (p Policy) budgets() []*Budget {
	var all []*Budget
	seen := map[*Budget]bool{nil: true}
	for _, own := range append([]Policy{p}, p.classes...) {
		if !seen[own.Budget] {
			seen[own.Budget] = true
			all = append(all, own.Budget)
		}
	}
	return all
}

// mostImmediate is the largest Immediate of the policy and its classes.
func (p Policy) mostImmediate() int {
	most := p.Immediate
	for _, own := range p.classes {
		most = max(most, own.Immediate)
	}
	return most
}
