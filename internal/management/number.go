package management

import (
	"encoding/json"
	"fmt"
	"math"
)

// largest is the largest whole number that every JSON library keeps exact. What RabbitMQ
// counts does not come near it.
const largest = 1 << 53

// Count is a number that cannot be negative, and may be absent.
type Count struct {
	Known bool
	N     float64
}

// UnmarshalJSON takes a number, and null or "" (Erlang's undefined) for an absent one.
func (c *Count) UnmarshalJSON(text []byte) error {
	*c = Count{}
	if s := string(text); s == "null" || s == `""` {
		return nil
	}
	var n float64
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	if n < 0 || n > largest || math.IsNaN(n) {
		return fmt.Errorf("%.30s is no count", text)
	}
	*c = Count{Known: true, N: n}
	return nil
}

// whole is an error where a count of things is a fraction.
func (c Count) whole(field string) error {
	if c.N != math.Trunc(c.N) {
		return fmt.Errorf("%s is %v", field, c.N)
	}
	return nil
}

// Names are names of nodes, and may be absent.
type Names struct {
	Known bool
	List  []string
}

// UnmarshalJSON takes an array of strings, and null or "" for an absent one.
func (n *Names) UnmarshalJSON(text []byte) error {
	*n = Names{}
	if s := string(text); s == "null" || s == `""` {
		return nil
	}
	if err := json.Unmarshal(text, &n.List); err != nil {
		return err
	}
	n.Known = true
	return nil
}
