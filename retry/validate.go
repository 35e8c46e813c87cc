package retry

import "fmt"

// ConfigError names what is wrong with a [Policy].
type ConfigError struct {
	Field, Problem, Fix string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("retry: Policy.%s %s: %s", e.Field, e.Problem, e.Fix)
}

// mostImmediateAllowed bounds how long one delivery can keep its worker.
const mostImmediateAllowed = 100

// Validate is a *ConfigError for the first field that cannot be used, else nil.
// [Middleware] cannot return it: there it fails every delivery, unhandled.
func (p Policy) Validate() error {
	if e := fault(p.Jitter, p.Immediate, p.Budget); e != nil {
		return e
	}
	if p.Unknown > VerdictPermanent {
		return &ConfigError{"Unknown", fmt.Sprintf("is %d", uint8(p.Unknown)), "use one of the Verdict constants"}
	}
	if p.Immediate < 0 {
		return &ConfigError{"Immediate", fmt.Sprintf("is %d", p.Immediate), "leave it 0 for none"}
	}
	for i, rule := range p.Rules {
		if rule == nil {
			return &ConfigError{fmt.Sprintf("Rules[%d]", i), "is nil", "give a function, or leave it out"}
		}
	}
	for i, c := range p.Classes {
		name := fmt.Sprintf("Classes[%d].", i)
		if c.Match == nil {
			return &ConfigError{name + "Match", "is nil", "give a function that says which errors are meant; for all others there are the fields of the Policy"}
		}
		if e := fault(c.Jitter, c.Immediate, c.Budget); e != nil {
			e.Field = name + e.Field
			return e
		}
	}
	return nil
}

// fault looks at what a policy and a class have in common.
func fault(j Jitter, immediate int, b *Budget) *ConfigError {
	switch {
	case j > FullJitter:
		return &ConfigError{"Jitter", fmt.Sprintf("is %d", uint8(j)), "use one of the Jitter constants"}
	case immediate > mostImmediateAllowed:
		return &ConfigError{"Immediate", fmt.Sprintf("is %d", immediate), fmt.Sprintf("use at most %d: a worker is held meanwhile", mostImmediateAllowed)}
	}
	if b != nil {
		if field, problem, fix := b.fault(); field != "" {
			return &ConfigError{"Budget." + field, problem, fix}
		}
	}
	return nil
}
