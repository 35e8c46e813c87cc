package dlq

import "time"

// pace spreads replays over time. The zero value does not.
type pace struct {
	interval time.Duration
	next     time.Time // when the next replay may start
}

// burst is how much time that went unused may be made up for.
const burst = 100 * time.Millisecond

// perSecond is the pace of rate replays a second; 0 is no pace.
func perSecond(rate float64) pace {
	if rate == 0 {
		return pace{}
	}
	return pace{interval: time.Duration(float64(time.Second) / rate)}
}

// step counts one replay.
func (p *pace) step() {
	earliest := time.Now().Add(-burst)
	if p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(p.interval)
}

// resting fires when the next replay may start; nil: now.
func (p *pace) resting() <-chan time.Time {
	if p.interval == 0 {
		return nil
	}
	if wait := time.Until(p.next); wait > 0 {
		return time.After(wait)
	}
	return nil
}
