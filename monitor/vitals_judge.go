package monitor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
)

// judge is the rule: what the signs say of each condition, and which of them count.
func (c VitalsConfig) judge(s signs) Health {
	h := c.judgeProcess(s)
	h.Conditions[ConditionLink] = judgeLink(s)
	h.Conditions[ConditionBlocked] = judgeBlocked(s)
	h.Conditions[ConditionDeadLetters] = c.judgeLetters(s)
	h.Conditions[ConditionLadder] = c.judgeLadder(s)
	if !c.PublishOnly {
		h.Conditions[ConditionConsuming] = judgeConsuming(s)
	}
	for _, condition := range c.Unready {
		if !h.Conditions[condition].Level.passes() && !slices.Contains(h.Unready, condition) {
			h.Unready = append(h.Unready, condition)
		}
	}
	if c.ladderStands && h.Conditions[ConditionLadder].Level == LevelFailing {
		h.Unready = append(h.Unready, ConditionLadder)
	}
	if !h.Live && !slices.Contains(h.Unready, ConditionProcess) {
		h.Unready = append(h.Unready, ConditionProcess)
	}
	h.Ready = len(h.Unready) == 0
	for _, a := range s.alarms {
		h.Alarms = append(h.Alarms, StandingAlarm{a.Kind, a.Queue, a.Ladder, a.Severity, a.Since, a.Text})
	}
	return h.redacted(c.Redact)
}

// judgeProcess is the part of the rule that Live asks for: nothing outside of the process
// is in it, for a restart mends nothing there.
func (c VitalsConfig) judgeProcess(s signs) Health {
	process := Vital{Level: LevelOK, Since: s.began, Text: "serving"}
	var faults []string
	for _, n := range s.consumers {
		if n.health.Status == consumer.Stopped && n.health.Err != nil {
			faults = append(faults, fmt.Sprintf("%s: its consumer has stopped, and does not start again: %s", n.name, plain(n.health.Err)))
			process.Since = laterOf(process.Since, n.health.At)
		}
		for _, h := range n.stuck {
			if c.StuckFor >= 0 && s.now.Sub(h.since) >= c.StuckFor {
				faults = append(faults, fmt.Sprintf("%s: a handler is stuck, told %s ago", n.name, rounded(s.now.Sub(h.since))))
				process.Since = laterOf(process.Since, h.since.Add(c.StuckFor))
			}
		}
	}
	if len(faults) > 0 {
		slices.Sort(faults)
		process.Level, process.Text = LevelFailing, joinTexts(faults)
	}
	return Health{
		At: s.now, Live: len(faults) == 0, Ready: len(faults) == 0,
		Conditions: map[Condition]Vital{ConditionProcess: process},
	}
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func isUp(s link.Status) bool {
	return s == link.Connected || s == link.Blocked || s == link.Unblocked
}

func judgeLink(s signs) Vital {
	parts := make(map[string]Part)
	for role, c := range s.link {
		p := Part{Level: LevelUnknown, Text: "nothing told yet: give OnState to link.Config"}
		switch st := c.state; {
		case st.Status == "":
		case isUp(st.Status):
			p = Part{Level: LevelOK, Text: "connected to " + st.Server}
		case st.Status == link.Closed:
			p = Part{Level: LevelFailing, Text: "closed by this process"}
		default:
			p = Part{Level: LevelFailing, Text: "disconnected"}
			if st.Server != "" {
				p.Text += " from " + st.Server
			}
			if st.Err != nil {
				p.Text += ": " + plain(st.Err)
			}
		}
		p.Since = c.since
		parts[link.Role(role).String()] = p
	}
	return sum(parts, "")
}

// judgeBlocked: what counts is what the broker told this process. What the monitor knows is
// added, for the broker tells a connection only when that publishes.
func judgeBlocked(s signs) Vital {
	parts := make(map[string]Part)
	own := s.link[link.Publishing]
	publishing := Part{Level: LevelOK, Since: own.state.At, Text: "not blocked"}
	switch {
	case own.state.Status == link.Blocked:
		publishing = Part{Level: LevelFailing, Since: own.state.At, Text: "publishes wait: " + own.state.Reason}
	case !isUp(own.state.Status):
		publishing = Part{Level: LevelUnknown, Since: own.since, Text: "no connection"}
	}
	parts[link.Publishing.String()] = publishing
	for _, a := range s.alarms {
		if a.Kind == MemoryAlarm || a.Kind == DiskAlarm || a.Kind == ResourceAlarm {
			parts[string(a.Kind)] = Part{Level: LevelFailing, Since: a.Since, Text: a.Text}
		}
	}
	return sum(parts, "")
}

func judgeConsuming(s signs) Vital {
	parts := make(map[string]Part)
	for _, n := range s.consumers {
		parts[n.name] = n.part()
	}
	return sum(parts, "no consumer has told anything: name VitalsConfig.Queues and give OnHealth to consumer.Config, or set PublishOnly")
}

// part is how one consumer is.
func (n namedConsumer) part() Part {
	p := Part{Level: LevelDegraded, Since: n.health.At, Text: string(n.health.Status)}
	switch n.health.Status {
	case "":
		p.Level, p.Text = LevelUnknown, "nothing told yet"
	case consumer.Consuming:
		p.Level = LevelOK
	case consumer.Disconnected, consumer.Stopped:
		p.Level = LevelFailing
	}
	switch {
	case n.health.Err == nil:
	case p.Level == LevelFailing:
		p.Text += ": " + plain(n.health.Err)
	default: // of a copy, of a handler, of whoever paused it
		p.Text += ": " + typeOf(n.health.Err)
	}
	worse := func(l Level, since time.Time, text string) {
		if l.weight() > p.Level.weight() {
			p.Level, p.Since = l, since
		}
		p.Text += "; " + text
	}
	for _, f := range slices.Sorted(maps.Keys(n.findings)) {
		since := n.findings[f]
		if f == consumer.Forgotten {
			worse(LevelFailing, since, "the broker does not know this consumer")
			continue
		}
		worse(LevelDegraded, since, string(f)+" since "+since.UTC().Format(time.RFC3339))
	}
	if len(n.stuck) > 0 {
		worse(LevelDegraded, n.stuck[0].since, fmt.Sprintf("%d handlers stuck", len(n.stuck)))
	}
	return p
}

// blind is why the monitor tells nothing now, "" when it does.
func (c VitalsConfig) blind(s signs) string {
	switch {
	case c.Monitor == nil:
		return "no monitor in this process"
	case s.report.At.IsZero():
		return "the monitor has made no round yet"
	case s.now.Sub(s.report.At) > c.MonitorStale:
		return fmt.Sprintf("the monitor's last round was %s ago: does its Run run?", rounded(s.now.Sub(s.report.At)))
	case s.report.Err != nil:
		return "the monitor's last round failed: " + s.report.Err.Error()
	}
	return ""
}

func (c VitalsConfig) judgeLetters(s signs) Vital {
	parts := make(map[string]Part)
	blind := c.blind(s)
	for _, q := range s.report.Queues {
		if !q.DeadLetterQueue {
			continue
		}
		p := Part{Level: LevelOK, Since: s.report.At, Text: "not growing; messages: " + q.Messages.String()}
		switch {
		case blind != "":
			p.Level, p.Text = LevelUnknown, blind
		case q.Missing:
			p.Level, p.Text = LevelUnknown, "the queue is missing"
		case q.Err != nil:
			p.Level, p.Text = LevelUnknown, "the monitor could not read it: "+q.Err.Error()
		case !q.Messages.Known:
			p.Level, p.Text = LevelUnknown, "the management API tells no numbers"
		}
		parts[q.Queue] = p
	}
	for _, a := range s.alarms { // they stand until the monitor has seen the contrary
		p := Part{Since: a.Since, Text: a.Text}
		switch a.Kind {
		case DeadLettersGrowing:
			p.Level = LevelFailing
		case DeadLetters:
			p.Level = LevelDegraded
		default:
			continue
		}
		if p.Level.weight() > parts[a.Queue].Level.weight() || parts[a.Queue].Level == "" {
			parts[a.Queue] = p
		}
	}
	if blind == "" {
		blind = "the monitor watches no dead-letter queue"
	}
	return sum(parts, blind)
}

func (c VitalsConfig) judgeLadder(s signs) Vital {
	parts := make(map[string]Part)
	for _, l := range s.lags {
		parts[strings.TrimSuffix(l.Ladder.Due(), ".due")+" "+l.Delay.String()] = c.lagPart(l)
	}
	for _, a := range s.alarms {
		if a.Ladder == "" {
			continue
		}
		p := Part{Level: LevelDegraded, Since: a.Since, Text: a.Text}
		if a.Kind == LadderStuck || a.Kind == QueueMissing || a.Kind == QuorumLost {
			p.Level = LevelFailing
		}
		parts[strings.TrimSpace(a.Ladder+" "+a.Queue+" "+string(a.Kind))] = p
	}
	return sum(parts, "no probe in this process")
}

// lagPart is how one ladder is, by its probe.
func (c VitalsConfig) lagPart(l LadderLag) Part {
	p := Part{Level: LevelOK, Since: l.Since, Text: fmt.Sprintf("lag %s", l.Lag.Round(time.Millisecond))}
	why := probeReason(l)
	switch {
	case !l.OverdueSince.IsZero():
		p = Part{Level: LevelFailing, Since: l.OverdueSince, Text: fmt.Sprintf("it stands: a probe is overdue by %s", rounded(l.Lag))}
	case why == ProbeMissing || why == ProbeRefused && !refusedItself(l):
		p.Level, p.Text = LevelFailing, string(why)+": "+plain(l.Err)
	case l.Err != nil:
		p.Level, p.Text = LevelUnknown, "not measured, "+string(why)
	case !l.Known():
		p.Level, p.Text = LevelUnknown, "no probe has come back yet"
	case l.Lag > c.MaxLag:
		p.Level, p.Text = LevelFailing, fmt.Sprintf("lag %s, more than %s", rounded(l.Lag), c.MaxLag)
	}
	return p
}
