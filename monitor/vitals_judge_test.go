package monitor

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// told is a monitor that says what a test says.
type told struct {
	alarms []Alarm
	report Report
}

func (m *told) Alarms() []Alarm { return m.alarms }
func (m *told) Report() Report  { return m.report }

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// fineSigns are those of a process of which everything is known and well.
func fineSigns() signs {
	s := signs{now: noon, began: noon.Add(-time.Hour)}
	for role := range s.link {
		s.link[role] = connection{state: link.State{Role: link.Role(role), Status: link.Connected, Server: "rabbit:5672/", At: noon.Add(-time.Hour)}, since: noon.Add(-time.Hour)}
	}
	s.consumers = []namedConsumer{
		{"orders", consuming{health: consumer.Health{Queue: "orders", Status: consumer.Consuming, At: noon.Add(-time.Hour)}}},
		{"mails", consuming{health: consumer.Health{Queue: "mails", Status: consumer.Consuming, At: noon.Add(-30 * time.Minute)}}},
	}
	s.report = Report{At: noon.Add(-30 * time.Second), Queues: []QueueReport{{Queue: "orders.dlq", DeadLetterQueue: true, Messages: known(0)}, {Queue: "orders"}}}
	s.lags = []LadderLag{{Delay: 1500 * time.Millisecond, Lag: 5 * time.Millisecond, At: noon.Add(-30 * time.Second), Since: noon.Add(-time.Hour)}}
	return s
}

var allConditions = []Condition{ConditionProcess, ConditionLink, ConditionConsuming, ConditionBlocked, ConditionDeadLetters, ConditionLadder}

func judging(t *testing.T, unready []Condition) VitalsConfig {
	t.Helper()
	v, err := NewVitals(VitalsConfig{Monitor: &told{}, Probes: []interface{ Lag() LadderLag }{nil}, Unready: unready})
	if err != nil {
		t.Fatal(err)
	}
	return v.cfg
}

func TestAllIsWell(t *testing.T) {
	h := judging(t, allConditions).judge(fineSigns())
	for c, v := range h.Conditions {
		if v.Level != LevelOK || v.Text == "" || v.Since.IsZero() {
			t.Errorf("%s: %+v", c, v)
		}
	}
	if !h.Live || !h.Ready || len(h.Conditions) != len(allConditions) {
		t.Errorf("%+v", h)
	}
	if since := h.Conditions[ConditionConsuming].Since; !since.Equal(noon.Add(-30 * time.Minute)) {
		t.Errorf("all consume since %v", since)
	}
}

// Each sign changes its own condition and no other, to this level; the default rule looks
// at link and consuming, and at a ladder that stands; a rule that lists all looks at all.
func TestSigns(t *testing.T) {
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	orders := func(s *signs) *namedConsumer { return &s.consumers[0] }
	standing := func(a Alarm) func(*signs) {
		return func(s *signs) { a.Raised, a.Since = true, ago(time.Minute); s.alarms = append(s.alarms, a) }
	}
	for name, tt := range map[string]struct {
		condition Condition
		level     Level
		change    func(s *signs)
		says      string
	}{
		"no state": {ConditionLink, LevelUnknown, func(s *signs) { s.link[link.Consuming] = connection{} }, "OnState"},
		"one connection lost": {ConditionLink, LevelFailing, func(s *signs) {
			s.link[link.Consuming].state = link.State{Status: link.Disconnected, Server: "rabbit:5672/", Err: &link.ConnectError{Server: "rabbit:5672/", Err: errors.New("refused")}}
		}, "refused"},
		"unknown error of a link": {ConditionLink, LevelFailing, func(s *signs) {
			s.link[link.Consuming].state = link.State{Status: link.Disconnected, Err: errors.New("hunter2")}
		}, "errorString"},
		"closed": {ConditionLink, LevelFailing, func(s *signs) { s.link[link.Consuming].state.Status = link.Closed }, "closed"},
		"blocked": {ConditionBlocked, LevelFailing, func(s *signs) {
			s.link[link.Publishing].state.Status, s.link[link.Publishing].state.Reason = link.Blocked, "low on memory"
		}, "low on memory"},
		"unblocked":           {ConditionBlocked, LevelOK, func(s *signs) { s.link[link.Publishing].state.Status = link.Unblocked }, "not blocked"},
		"alarm at the broker": {ConditionBlocked, LevelFailing, standing(Alarm{Kind: MemoryAlarm, Text: "memory of a node"}), "memory of a node"},

		"a consumer that is not heard": {ConditionConsuming, LevelUnknown, func(s *signs) { orders(s).consuming = consuming{} }, "nothing told"},
		"no consumer at all":           {ConditionConsuming, LevelUnknown, func(s *signs) { s.consumers = nil }, "PublishOnly"},
		"disconnected": {ConditionConsuming, LevelFailing, func(s *signs) {
			orders(s).health.Status, orders(s).health.Err = consumer.Disconnected, &link.ClosedError{Connection: true, Err: &amqp.Error{Code: 320, Reason: "bye"}}
		}, "bye"},
		"stopped": {ConditionConsuming, LevelFailing, func(s *signs) { orders(s).health.Status = consumer.Stopped }, "stopped"},
		"paused": {ConditionConsuming, LevelDegraded, func(s *signs) {
			orders(s).health.Status, orders(s).health.Err = consumer.Paused, errors.New("message says hunter2")
		}, "errorString"},
		"held aside": {ConditionConsuming, LevelDegraded, func(s *signs) {
			orders(s).health.Status, orders(s).health.Err = consumer.HeldAside, &amqp.Error{Code: 406, Reason: "hunter2"}
		}, "amqp091.Error"},
		"panicking":            {ConditionConsuming, LevelDegraded, func(s *signs) { orders(s).health.Status = consumer.Panicking }, "panicking"},
		"a status of tomorrow": {ConditionConsuming, LevelDegraded, func(s *signs) { orders(s).health.Status = "waiting" }, "waiting"},
		"forgotten": {ConditionConsuming, LevelFailing, func(s *signs) {
			orders(s).findings = map[consumer.Finding]time.Time{consumer.Forgotten: ago(time.Minute)}
		}, "does not know"},
		"unsettled": {ConditionConsuming, LevelDegraded, func(s *signs) {
			orders(s).findings = map[consumer.Finding]time.Time{consumer.Unsettled: ago(time.Minute)}
		}, "unsettled"},
		"stuck for a minute": {ConditionConsuming, LevelDegraded, func(s *signs) { orders(s).stuck = []stuckHandler{{id: "m", since: ago(time.Minute)}} }, "1 handlers"},

		"letters lie there": {ConditionDeadLetters, LevelDegraded, standing(Alarm{Kind: DeadLetters, Queue: "orders.dlq", Text: "3 letters"}), "3 letters"},
		"letters grow": {ConditionDeadLetters, LevelFailing, func(s *signs) {
			standing(Alarm{Kind: DeadLetters, Queue: "orders.dlq"})(s)
			standing(Alarm{Kind: DeadLettersGrowing, Queue: "orders.dlq", Text: "by 7"})(s)
		}, "by 7"},
		"they grew when it was last seen": {ConditionDeadLetters, LevelFailing, func(s *signs) {
			standing(Alarm{Kind: DeadLettersGrowing, Queue: "orders.dlq", Text: "by 7"})(s)
			s.report.Err = errors.New("down")
		}, "by 7"},
		"no round":                {ConditionDeadLetters, LevelUnknown, func(s *signs) { s.report = Report{} }, "no round"},
		"an old round":            {ConditionDeadLetters, LevelUnknown, func(s *signs) { s.report.At = ago(time.Hour) }, "ago"},
		"the API is down":         {ConditionDeadLetters, LevelUnknown, func(s *signs) { s.report.Err = errors.New("down") }, "down"},
		"the queue is missing":    {ConditionDeadLetters, LevelUnknown, func(s *signs) { s.report.Queues[0].Missing = true }, "missing"},
		"the queue was not read":  {ConditionDeadLetters, LevelUnknown, func(s *signs) { s.report.Queues[0].Err = errors.New("down") }, "down"},
		"no numbers":              {ConditionDeadLetters, LevelUnknown, func(s *signs) { s.report.Queues[0].Messages = Number{} }, "no numbers"},
		"no dead letters watched": {ConditionDeadLetters, LevelUnknown, func(s *signs) { s.report.Queues = nil }, "watches no"},

		"overdue": {ConditionLadder, LevelFailing, func(s *signs) {
			s.lags[0].OverdueSince, s.lags[0].Err, s.lags[0].Lag = ago(time.Hour), &ProbeError{Reason: ProbeOverdue}, time.Hour
		}, "1h0m0s"},
		"late":          {ConditionLadder, LevelFailing, func(s *signs) { s.lags[0].Lag = 31 * time.Second }, "31s"},
		"a little late": {ConditionLadder, LevelOK, func(s *signs) { s.lags[0].Lag = 29 * time.Second }, "29s"},
		"a probe's own queue": {ConditionLadder, LevelUnknown, func(s *signs) {
			s.lags[0].Err = &ProbeError{Reason: ProbeRefused, Doing: consumesOwn, Err: errors.New("403")}
		}, "not measured"},
		"a refusing level":    {ConditionLadder, LevelFailing, func(s *signs) { s.lags[0].Err = &ProbeError{Reason: ProbeRefused, Doing: "be sent", Err: errNacked} }, "refused"},
		"a level is missing":  {ConditionLadder, LevelFailing, func(s *signs) { s.lags[0].Err = &ProbeError{Reason: ProbeMissing, Err: errors.New("level.02")} }, "level.02"},
		"the broker blocks":   {ConditionLadder, LevelUnknown, func(s *signs) { s.lags[0].Err = &ProbeError{Reason: ProbeBlocked} }, "blocked"},
		"the probe stopped":   {ConditionLadder, LevelUnknown, func(s *signs) { s.lags[0].Err = &ProbeError{Reason: ProbeStopped} }, "stopped"},
		"nothing came back":   {ConditionLadder, LevelUnknown, func(s *signs) { s.lags[0].At = time.Time{} }, "no probe"},
		"no probe":            {ConditionLadder, LevelUnknown, func(s *signs) { s.lags = nil }, "no probe"},
		"the monitor says so": {ConditionLadder, LevelFailing, standing(Alarm{Kind: LadderStuck, Ladder: "hareline.v1", Text: "40 held"}), "40 held"},
		"unclaimed messages":  {ConditionLadder, LevelDegraded, standing(Alarm{Kind: Unclaimed, Ladder: "hareline.v1", Queue: "u", Text: "9 there"}), "9 there"},

		"stopped with an error": {ConditionProcess, LevelFailing, func(s *signs) {
			orders(s).health.Status, orders(s).health.Err = consumer.Stopped, &consumer.SubscribeError{Queue: "orders", Err: &amqp.Error{Code: 404}}
		}, "orders"},
		"stuck for long": {ConditionProcess, LevelFailing, func(s *signs) { orders(s).stuck = []stuckHandler{{id: "", since: ago(6 * time.Minute)}} }, "stuck"},
	} {
		t.Run(name, func(t *testing.T) {
			s := fineSigns()
			tt.change(&s)
			h := judging(t, nil).judge(s)
			got := h.Conditions[tt.condition]
			if got.Level != tt.level || !strings.Contains(got.Text, tt.says) {
				t.Errorf("%+v", got)
			}
			text, err := json.Marshal(h)
			if err != nil || strings.Contains(string(text), "hunter2") {
				t.Errorf("%s, %v", text, err)
			}
			for c, v := range h.Conditions {
				if c != tt.condition && v.Level != LevelOK && (tt.condition != ConditionProcess || c != ConditionConsuming) {
					t.Errorf("%s as well: %+v", c, v)
				}
			}
			passes := tt.level == LevelOK || tt.level == LevelDegraded
			counts := tt.condition == ConditionLink || tt.condition == ConditionConsuming || tt.condition == ConditionProcess
			if tt.condition == ConditionLadder {
				counts = tt.level == LevelFailing
			}
			if h.Ready != (passes || !counts) || h.Live != (tt.condition != ConditionProcess) {
				t.Errorf("by default ready %v, live %v", h.Ready, h.Live)
			}
			if h := judging(t, allConditions).judge(s); h.Ready != passes || !passes && !slices.Contains(h.Unready, tt.condition) {
				t.Errorf("by all conditions ready %v: %v", h.Ready, h.Unready)
			}
			if h := judging(t, []Condition{}).judge(s); h.Ready != h.Live {
				t.Errorf("by none ready %v", h.Ready)
			}
		})
	}
}

// A process that only publishes has no consumers to wait for.
func TestPublishOnly(t *testing.T) {
	v, err := NewVitals(VitalsConfig{PublishOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	s := fineSigns()
	s.consumers = nil
	if h := v.cfg.judge(s); !h.Ready || h.Conditions[ConditionConsuming].Level != "" {
		t.Errorf("%+v", h)
	}
}

func TestVitalsConfigErrors(t *testing.T) {
	for field, cfg := range map[string]VitalsConfig{
		"Unready[0]":             {Unready: []Condition{"nonsense"}},
		"Unready[1]":             {Unready: []Condition{ConditionLink, ConditionDeadLetters}},
		"Unready[2]":             {Unready: []Condition{ConditionLink, ConditionLadder, ConditionDeadLetters}},
		"Unready[3]":             {PublishOnly: true, Unready: []Condition{ConditionLink, ConditionLink, ConditionLink, ConditionConsuming}},
		"PublishOnly":            {PublishOnly: true, Queues: []string{"q"}},
		"MonitorStale or MaxLag": {MaxLag: -1},
	} {
		var bad *VitalsConfigError
		if _, err := NewVitals(cfg); !errors.As(err, &bad) || bad.Field != field || bad.Fix == "" {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// What the hooks tell is what is judged: states in order, findings until they are over,
// consumers by queue or by name.
func TestHooks(t *testing.T) {
	v, err := NewVitals(VitalsConfig{Queues: []string{"orders"}, StuckFor: -1})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	up := func(st link.Status, d time.Duration) {
		for _, r := range []link.Role{link.Publishing, link.Consuming} {
			v.OnState(link.State{Role: r, Status: st, At: at.Add(d)})
		}
	}
	level := func(c Condition) Level { return v.Check().Conditions[c].Level }
	if level(ConditionLink) != LevelUnknown || level(ConditionConsuming) != LevelUnknown || level(ConditionBlocked) != LevelUnknown {
		t.Errorf("at first: %+v", v.Check())
	}
	v.OnState(link.State{Role: 7, Status: link.Closed}) // of no connection
	up(link.Connected, 0)
	up(link.Blocked, time.Second)
	up(link.Unblocked, 2*time.Second)
	if h := v.Check(); !h.Conditions[ConditionLink].Since.Equal(at) || h.Conditions[ConditionLink].Level != LevelOK || !h.Conditions[ConditionBlocked].Since.Equal(at.Add(2*time.Second)) {
		t.Errorf("an alarm is no reconnect: %+v", h.Conditions)
	}
	up(link.Disconnected, 3*time.Second)
	up(link.Connected, 4*time.Second)
	if h := v.Check(); !h.Conditions[ConditionLink].Since.Equal(at.Add(4 * time.Second)) {
		t.Errorf("reconnected: %+v", h.Conditions[ConditionLink])
	}
	v.OnHealth(consumer.Health{Queue: "orders", Status: consumer.Consuming, At: at})
	if !v.Check().Ready {
		t.Errorf("%+v", v.Check())
	}
	second, watched := v.Consumer("orders, the second")
	if v.Check().Ready {
		t.Error("ready before the second consumer was heard")
	}
	second(consumer.Health{Queue: "orders", Status: consumer.Stopped, Err: errors.New("x"), At: at})
	v.OnHealth(consumer.Health{Queue: "orders", Status: consumer.Consuming, At: at})
	if v.Check().Live {
		t.Error("the first consumer's word hides the second's")
	}
	second(consumer.Health{Queue: "orders", Status: consumer.Consuming, At: at})
	event := func(f consumer.Finding, id string, over bool) consumer.WatchdogEvent {
		return consumer.WatchdogEvent{Queue: "orders", Finding: f, MessageID: id, Over: over, At: at}
	}
	watched(event(consumer.Forgotten, "", false))
	if level(ConditionConsuming) != LevelFailing {
		t.Error("forgotten")
	}
	watched(event(consumer.Forgotten, "", true))
	for range 2 { // two messages without an id
		v.OnWatchdog(event(consumer.Stuck, "", false))
	}
	v.OnWatchdog(event(consumer.Stuck, "", true))
	if h := v.Check(); h.Conditions[ConditionConsuming].Level != LevelDegraded || !h.Live {
		t.Errorf("one of two is stuck still: %+v", h)
	}
	v.OnWatchdog(event(consumer.Stuck, "", true))
	v.OnWatchdog(event(consumer.Stuck, "another", true))
	v.OnWatchdog(event(consumer.Unsettled, "", false))
	v.OnHealth(consumer.Health{Queue: "orders", Status: consumer.Stopped, At: at})
	v.OnHealth(consumer.Health{Queue: "orders", Status: consumer.Consuming, At: at})
	if level(ConditionConsuming) != LevelOK {
		t.Errorf("findings of a consumer that has ended: %+v", v.Check())
	}
}

// Of handlers whose messages have no id, the one that is stuck for long fails Live, however
// many others are stuck for a while and return.
func TestStuckWithoutAnID(t *testing.T) {
	v, err := NewVitals(VitalsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	stuck := func(since time.Duration) {
		v.OnWatchdog(consumer.WatchdogEvent{Queue: "q", Finding: consumer.Stuck, At: now.Add(-since), Since: now.Add(-since - time.Hour)})
	}
	stuck(time.Hour)
	stuck(time.Minute)
	v.OnWatchdog(consumer.WatchdogEvent{Queue: "q", Finding: consumer.Stuck, Over: true, At: now, Since: now.Add(-time.Minute - time.Hour)})
	if v.Check().Live {
		t.Error("live, with a handler that is stuck for an hour")
	}
}

// Whatever the signs: a listed condition that is not ok or degraded is never ready, and
// a part is never better shown than its whole is.
func TestJudgeNeverTakesUnknownForFine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := fineSigns()
		for role := range s.link {
			status := rapid.SampledFrom([]link.Status{"", link.Connected, link.Disconnected, link.Blocked, link.Unblocked, link.Closed}).Draw(t, "link")
			s.link[role].state.Status = status
		}
		for i := range s.consumers {
			s.consumers[i].health.Status = rapid.SampledFrom([]consumer.Status{"", consumer.Consuming, consumer.Disconnected, consumer.Paused, consumer.Stopped, "else"}).Draw(t, "consumer")
		}
		s.report.At = rapid.SampledFrom([]time.Time{{}, noon, noon.Add(-time.Hour)}).Draw(t, "round")
		s.lags[0].At = rapid.SampledFrom([]time.Time{{}, noon}).Draw(t, "probe")
		s.lags[0].Ladder = topology.Ladder{Scope: "x"}
		c := VitalsConfig{Unready: rapid.SliceOfDistinct(rapid.SampledFrom(allConditions), func(c Condition) Condition { return c }).Draw(t, "unready"), Monitor: &told{}}
		c = c.withDefaults()
		h := c.judge(s)
		for condition, v := range h.Conditions {
			if slices.Contains(c.Unready, condition) && (v.Level == LevelUnknown || v.Level == LevelFailing) && h.Ready {
				t.Fatalf("ready with %s %s", condition, v.Level)
			}
			for name, p := range v.Parts {
				if p.Level.weight() > v.Level.weight() {
					t.Fatalf("%s is %s, its part %s %s", condition, v.Level, name, p.Level)
				}
			}
		}
		if h.Ready != (len(h.Unready) == 0) {
			t.Fatal("Unready does not say why")
		}
	})
}

// standing is a ladder that stands.
type standing struct{}

func (standing) Lag() LadderLag {
	return LadderLag{Lag: time.Minute, OverdueSince: time.Now().Add(-time.Minute), Since: time.Now().Add(-time.Hour), Err: &ProbeError{Reason: ProbeOverdue}}
}

// A probe that is added later counts like one of the config, and a ladder that stands
// makes the process unready by default.
func TestAddProbe(t *testing.T) {
	v, err := NewVitals(VitalsConfig{PublishOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for role := range 2 {
		v.OnState(link.State{Role: link.Role(role), Status: link.Connected, At: time.Now()}) //nolint:gosec // two
	}
	if h := v.Check(); !h.Ready || h.Conditions[ConditionLadder].Level != LevelUnknown {
		t.Errorf("without a probe: %+v", h)
	}
	v.AddProbe(standing{})
	if h := v.Check(); h.Ready || h.Conditions[ConditionLadder].Level != LevelFailing || !slices.Contains(h.Unready, ConditionLadder) {
		t.Errorf("with a ladder that stands: %+v", h)
	}
}
