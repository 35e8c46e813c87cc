package monitor

import "fmt"

// condition is how one reading compares with its threshold.
type condition uint8

const (
	unknown condition = iota // raises nothing, clears nothing
	well
	between // not bad, and not yet well again
	bad
)

// reading is what one round says about one possible alarm.
type reading struct {
	subject
	condition    condition
	value, limit float64
	text         string
}

// above is the reading of a number that should not be more than limit. It is well again at
// the part clearAt of it.
func above(n Number, limit, clearAt float64) reading {
	r := reading{value: n.Value, limit: limit}
	switch {
	case !n.Known:
	case n.Value > limit:
		r.condition = bad
	case n.Value <= limit*clearAt:
		r.condition = well
	default:
		r.condition = between
	}
	return r
}

// fact is the reading of something that is so or not.
func fact(is bool) reading {
	if is {
		return reading{condition: bad}
	}
	return reading{condition: well}
}

// of says what the reading is of, in words for when it is bad; otherwise it says the plain
// fact.
func (r reading) of(s subject, plain, remedy string) reading {
	r.subject, r.text = s, plain
	if r.condition == bad && remedy != "" {
		r.text += "; " + remedy
	}
	return r
}

// readings are all of a round: of every alarm that there may be, each time, in any order.
func (c Config) readings(l look, r Report) []reading {
	all := append(l.apiReadings(c), r.nodeReadings()...)
	for i, q := range r.Queues {
		all = append(all, c.queueReadings(c.Queues[i], q, r.At)...)
	}
	for _, ladder := range r.Ladders {
		all = append(all, c.ladderReadings(ladder, r.At)...)
	}
	return all
}

func (r Report) nodeReadings() []reading {
	var all []reading
	for kind, name := range map[Kind]string{MemoryAlarm: "memory", DiskAlarm: "disk", ResourceAlarm: ""} {
		var on []string
		for _, a := range r.NodeAlarms {
			other := a.Resource != "memory" && a.Resource != "disk"
			if a.Resource == name || other && kind == ResourceAlarm {
				on = append(on, a.Node+" ("+a.Resource+")")
			}
		}
		reads := fact(len(on) > 0)
		text, remedy := fmt.Sprintf("no %s alarm", kindWord(kind)), ""
		if len(on) > 0 {
			text = fmt.Sprintf("%s alarm on %q: the broker blocks all who publish", kindWord(kind), on)
			remedy = "free what is short, see rabbitmq-diagnostics memory_breakdown and the free space of the data folder"
		}
		if r.NodeAlarmsErr != nil {
			reads, text, remedy = reading{}, "the alarms of the broker are unknown", ""
		}
		all = append(all, reads.of(subject{kind: kind}, text, remedy))
	}
	return all
}

func kindWord(k Kind) string {
	switch k {
	case MemoryAlarm:
		return "memory"
	case DiskAlarm:
		return "disk"
	}
	return "resource"
}
