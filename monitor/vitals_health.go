package monitor

import (
	"time"
)

// Health is the health of a process at one moment. As JSON it is the answer of Live, of
// which it has process alone, and of Ready.
type Health struct {
	At time.Time `json:"at"`
	// Live is false where a restart of the process would help.
	Live bool `json:"live"`
	// Ready is false while one of Unready stands, or the process is not live.
	Ready bool `json:"ready"`
	// Unready are the conditions that make it not ready.
	Unready []Condition `json:"unready,omitempty"`
	// Conditions are all there are.
	Conditions map[Condition]Vital `json:"conditions"`
	// Alarms are those of the monitor that stand.
	Alarms []StandingAlarm `json:"alarms,omitempty"`
}

// Vital is how one condition is: as bad as the worst of its parts.
type Vital struct {
	Level Level `json:"level"`
	// Since is when it became so; absent where it is not known.
	Since time.Time `json:"since,omitzero"`
	Text  string    `json:"text"`
	// Parts are what it is about, by name: connections, queues, ladders.
	Parts map[string]Part `json:"parts,omitempty"`
}

// Part is one connection, queue or ladder.
type Part struct {
	Level Level     `json:"level"`
	Since time.Time `json:"since,omitzero"`
	Text  string    `json:"text"`
}

// StandingAlarm is what is shown of an [Alarm].
type StandingAlarm struct {
	Kind     Kind      `json:"kind"`
	Queue    string    `json:"queue,omitempty"`
	Ladder   string    `json:"ladder,omitempty"`
	Severity Severity  `json:"severity"`
	Since    time.Time `json:"since,omitzero"`
	Text     string    `json:"text"`
}

// weight orders levels from well to bad.
func (l Level) weight() int {
	switch l {
	case LevelOK:
		return 0
	case LevelDegraded:
		return 1
	case LevelFailing:
		return 3
	}
	return 2 // unknown, and whatever else there might be
}

// passes tells whether a condition of VitalsConfig.Unready lets the process be ready.
func (l Level) passes() bool { return l == LevelOK || l == LevelDegraded }

// sum is a vital of parts: the worst level, the time since when that has stood, and the
// texts of those that have it. Without parts it is unknown.
func sum(parts map[string]Part, none string) Vital {
	if len(parts) == 0 {
		return Vital{Level: LevelUnknown, Text: none}
	}
	v := Vital{Level: LevelOK, Parts: parts}
	for _, p := range parts {
		if p.Level.weight() > v.Level.weight() {
			v.Level = p.Level
		}
	}
	var texts []string
	for _, name := range sortedKeys(parts) {
		p := parts[name]
		if p.Level != v.Level {
			continue
		}
		if !p.Since.IsZero() && (v.Since.IsZero() || wellSince(v.Level, p.Since, v.Since)) {
			v.Since = p.Since
		}
		texts = append(texts, name+": "+p.Text)
	}
	v.Text = joinTexts(texts)
	return v
}

// wellSince: all is well since the last part became so; something is wrong since the
// first one did.
func wellSince(l Level, at, since time.Time) bool {
	if l == LevelOK {
		return at.After(since)
	}
	return at.Before(since)
}
