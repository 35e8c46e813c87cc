package monitor

// report makes a round's report, and notes in h what the next one needs.
func (l look) report(c Config, targets []target, h history) Report {
	r := Report{At: l.at, Took: l.took, NodeAlarmsErr: public(l.alarmsErr)}
	if failed := l.failure(); failed != nil {
		r.Err = public(failed)
	}
	for _, a := range l.alarms {
		r.NodeAlarms = append(r.NodeAlarms, NodeAlarm(a))
	}
	byLadder := map[string][]QueueReport{}
	for i, t := range targets {
		q := l.queues[i].report(t, l.at)
		h.fill(&q, l.queues[i], l.counts, l.at)
		if t.ladder == "" {
			r.Queues = append(r.Queues, q)
			continue
		}
		byLadder[t.ladder] = append(byLadder[t.ladder], q)
	}
	for _, ladder := range c.Ladders {
		name := ladderName(ladder)
		r.Ladders = append(r.Ladders, sumUp(name, byLadder[name]))
	}
	return r
}

// sumUp makes the report of a ladder from those of its queues, of which the last is that of
// unclaimed messages.
func sumUp(name string, queues []QueueReport) LadderReport {
	levels, unclaimed := queues[:len(queues)-1], queues[len(queues)-1]
	sum := func(of func(QueueReport) Number) Number {
		all := known(0)
		for _, q := range levels {
			n := of(q)
			all.Value += n.Value
			all.Known = all.Known && n.Known
		}
		if !all.Known {
			return Number{}
		}
		return all
	}
	return LadderReport{
		Ladder: name, Queues: queues, Unclaimed: unclaimed.Messages,
		Messages:  sum(func(q QueueReport) Number { return q.Messages }),
		Held:      sum(func(q QueueReport) Number { return q.Held }),
		EnterRate: sum(func(q QueueReport) Number { return q.PublishRate }),
	}
}
