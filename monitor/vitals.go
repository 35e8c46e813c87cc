package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
)

// Condition is one thing that a process's health consists of.
type Condition string

// The conditions, as they are called in the answers of [Vitals].
const (
	// ConditionProcess: the process serves, and nothing in it calls for a restart.
	ConditionProcess Condition = "process"
	// ConditionLink: both connections are up.
	ConditionLink Condition = "link"
	// ConditionConsuming: each consumer consumes.
	ConditionConsuming Condition = "consuming"
	// ConditionBlocked: failing while the broker takes no publishes, for an alarm.
	ConditionBlocked Condition = "blocked"
	// ConditionDeadLetters: failing while a dead-letter queue grows, degraded while letters
	// lie there.
	ConditionDeadLetters Condition = "dead-letters"
	// ConditionLadder: failing while a delay ladder stands, lets nothing through, or is
	// later than VitalsConfig.MaxLag.
	ConditionLadder Condition = "ladder"
)

// Level is how well something is.
type Level string

// The levels. Degraded wants attention, and works in part or works by intention: a paused
// consumer, letters that lie in a dead-letter queue. Unknown is what nobody has told of,
// or cannot tell of now.
const (
	LevelOK       Level = "ok"
	LevelDegraded Level = "degraded"
	LevelUnknown  Level = "unknown"
	LevelFailing  Level = "failing"
)

// VitalsConfig says what a process's health consists of. With the zero value it is ready
// when both connections are up and a consumer has said that it consumes.
type VitalsConfig struct {
	// Queues are those that this process consumes: one whose consumer has told nothing yet
	// is unknown. Others are added when they are told of.
	Queues []string
	// PublishOnly tells that the process consumes nothing: then there is no
	// ConditionConsuming.
	PublishOnly bool
	// Monitor tells of dead letters and of alarms: a *[Monitor] that runs in this process.
	// Without one ConditionDeadLetters is unknown.
	Monitor interface {
		Alarms() []Alarm
		Report() Report
	}
	// MonitorStale is the age at which the monitor's last round tells nothing any more.
	// Default 5 min.
	MonitorStale time.Duration
	// Probes tell of delay ladders: each a *[Probe]; see also AddProbe. Without one
	// ConditionLadder is unknown, unless the Monitor has an alarm of a ladder.
	Probes []interface{ Lag() LadderLag }
	// MaxLag is the lag of a ladder that is well. Default 30 s.
	MaxLag time.Duration
	// Unready are the conditions without which the process is not ready: while one of them is
	// failing or unknown, Ready answers 503. Degraded is ready. Default ConditionLink and
	// ConditionConsuming, as far as there is one, and ConditionLadder while it is failing:
	// unknown it is after every start, and under every alarm. An empty list is none.
	//
	// The others are all processes' at once, as the ladder is: an alarm of the broker, a queue
	// of dead letters. Where they make a process unready, they make all unready, so
	// that a service that still works in part is taken away as a whole, and nobody is left
	// to take its place. List ConditionBlocked where requests that cannot publish had
	// better be refused than wait, and any of them where no traffic depends on readiness.
	Unready []Condition
	// StuckFor is how long a handler may be stuck, from when the consumer's watchdog told
	// of it, before Live fails. Default 5 min; negative is for ever.
	StuckFor time.Duration
	// Redact, if set, is applied to every text before it is shown. Errors of handlers and
	// of copies, which may quote a message, are never shown, only their types.
	Redact func(string) string

	ladderStands bool // by default, a ladder that is failing makes the process unready
}

func (c VitalsConfig) withDefaults() VitalsConfig {
	c.MonitorStale = cmp.Or(c.MonitorStale, 5*time.Minute)
	c.MaxLag = cmp.Or(c.MaxLag, 30*time.Second)
	c.StuckFor = cmp.Or(c.StuckFor, 5*time.Minute)
	if c.Unready == nil {
		c.Unready = []Condition{ConditionLink, ConditionConsuming}
		if c.PublishOnly {
			c.Unready = c.Unready[:1]
		}
		c.ladderStands = true
	}
	if c.Redact == nil {
		c.Redact = func(s string) string { return s }
	}
	return c
}

func (c VitalsConfig) validate() error {
	if c.MonitorStale < 0 || c.MaxLag < 0 {
		return &VitalsConfigError{Field: "MonitorStale or MaxLag", Problem: "is negative", Fix: "leave it zero for the default"}
	}
	if c.PublishOnly && len(c.Queues) > 0 {
		return &VitalsConfigError{Field: "PublishOnly", Problem: "is set, and Queues are named", Fix: "leave out one of them"}
	}
	for i, condition := range c.Unready {
		problem, fix := "", ""
		switch condition {
		case ConditionProcess, ConditionLink, ConditionBlocked, ConditionLadder:
		case ConditionConsuming:
			if c.PublishOnly {
				problem, fix = "and PublishOnly is set", "leave out one of them"
			}
		case ConditionDeadLetters:
			if c.Monitor == nil {
				problem, fix = "and there is no Monitor that could tell of it", "set Monitor"
			}
		default:
			problem, fix = "which is none", "use one of the constants"
		}
		if problem != "" {
			return &VitalsConfigError{Field: fmt.Sprintf("Unready[%d]", i), Problem: fmt.Sprintf("is %q, %s", condition, problem), Fix: fix}
		}
	}
	return nil
}

// VitalsConfigError names a field of [VitalsConfig] that cannot be used.
type VitalsConfigError struct{ Field, Problem, Fix string }

func (e *VitalsConfigError) Error() string {
	return fmt.Sprintf("monitor: VitalsConfig.%s %s: %s", e.Field, e.Problem, e.Fix)
}

// Vitals are what a process knows of its own health, for the probes of an orchestrator and
// for people: they collect what link, consumers, monitor and probes tell, and answer from
// memory. Give OnState to link.Config, OnHealth to each consumer.Config, and OnWatchdog to
// its Watchdog; serve Live and Ready. One value is for one link.
//
//	v, err := monitor.NewVitals(monitor.VitalsConfig{Queues: []string{"orders"}})
//	l, err := link.Open(ctx, link.Config{URLs: urls, OnState: v.OnState})
//	mux.Handle("/livez", v.Live())
//	mux.Handle("/readyz", v.Ready())
//
// All methods are safe for concurrent use, and none of them blocks.
type Vitals struct {
	cfg   VitalsConfig
	began time.Time

	mu        sync.Mutex
	probes    []interface{ Lag() LadderLag }
	link      [2]connection
	consumers map[string]consuming
}

// connection is what is known of one connection.
type connection struct {
	state link.State // none was told while its Status is empty
	since time.Time  // when it came up, or went down
}

// consuming is what is known of one consumer.
type consuming struct {
	health   consumer.Health
	findings map[consumer.Finding]time.Time // but for Stuck; since when
	stuck    []stuckHandler                 // in the order they were told of
}

// stuckHandler is a handler that a watchdog has told of. Its message may have no id, and
// come twice: when it began tells which has ended.
type stuckHandler struct {
	id    string
	since time.Time // it was told
	began time.Time
}

// NewVitals makes Vitals of which nothing is known yet. The error is a *VitalsConfigError.
func NewVitals(cfg VitalsConfig) (*Vitals, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	v := &Vitals{cfg: cfg, began: time.Now(), probes: slices.Clone(cfg.Probes), consumers: make(map[string]consuming)}
	for _, q := range cfg.Queues {
		v.consumers[q] = consuming{}
	}
	return v, nil
}

// AddProbe adds one to VitalsConfig.Probes: a [Probe] of the link that OnState is given to
// is not there before the link.
func (v *Vitals) AddProbe(p interface{ Lag() LadderLag }) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.probes = append(slices.Clone(v.probes), p)
}

// OnState is for link.Config.OnState.
func (v *Vitals) OnState(s link.State) {
	if s.Role > link.Consuming {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	c := &v.link[s.Role]
	if c.state.Status == "" || isUp(c.state.Status) != isUp(s.Status) {
		c.since = s.At
	}
	c.state = s
}

// OnHealth is for consumer.Config.OnHealth of each consumer, and for bus.Config.OnHealth.
// Of two consumers of one queue see Consumer.
func (v *Vitals) OnHealth(h consumer.Health) { v.onHealth(h.Queue, h) }

// OnWatchdog is for consumer.WatchdogConfig.OnEvent of each consumer.
func (v *Vitals) OnWatchdog(e consumer.WatchdogEvent) { v.onWatchdog(e.Queue, e) }

// Consumer gives hooks for one of several consumers of one queue, which are told apart by
// name: OnHealth would take the last word of either for both.
func (v *Vitals) Consumer(name string) (onHealth func(consumer.Health), onWatchdog func(consumer.WatchdogEvent)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.consumers[name]; !ok {
		v.consumers[name] = consuming{}
	}
	return func(h consumer.Health) { v.onHealth(name, h) }, func(e consumer.WatchdogEvent) { v.onWatchdog(name, e) }
}

func (v *Vitals) onHealth(name string, h consumer.Health) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.consumers[name]
	c.health = h
	if h.Status == consumer.Stopped { // nothing of its findings is watched any more, but for handlers that go on
		c.findings = nil
	}
	v.consumers[name] = c
}

func (v *Vitals) onWatchdog(name string, e consumer.WatchdogEvent) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.consumers[name]
	switch {
	case e.Finding == consumer.Stuck && e.Over:
		if i := slices.IndexFunc(c.stuck, func(h stuckHandler) bool { return h.id == e.MessageID && h.began.Equal(e.Since) }); i >= 0 {
			c.stuck = slices.Delete(slices.Clone(c.stuck), i, i+1)
		}
	case e.Finding == consumer.Stuck:
		c.stuck = append(slices.Clone(c.stuck), stuckHandler{e.MessageID, e.At, e.Since})
	default:
		c.findings = maps.Clone(c.findings) // those of a judgement under way do not change
		c.note(e)
	}
	v.consumers[name] = c
}

func (c *consuming) note(e consumer.WatchdogEvent) {
	if e.Over {
		delete(c.findings, e.Finding)
		return
	}
	if c.findings == nil {
		c.findings = make(map[consumer.Finding]time.Time)
	}
	if _, known := c.findings[e.Finding]; !known { // some are told again
		c.findings[e.Finding] = e.At
	}
}

// Check is what Ready answers.
func (v *Vitals) Check() Health {
	s := v.signs()
	if v.cfg.Monitor != nil {
		s.alarms, s.report = v.cfg.Monitor.Alarms(), v.cfg.Monitor.Report()
	}
	v.mu.Lock()
	probes := v.probes
	v.mu.Unlock()
	for _, p := range probes {
		s.lags = append(s.lags, p.Lag())
	}
	return v.cfg.judge(s)
}

// signs are what a judgement rests on.
type signs struct {
	now, began time.Time
	link       [2]connection
	consumers  []namedConsumer // by name
	alarms     []Alarm
	report     Report
	lags       []LadderLag
}

type namedConsumer struct {
	name string
	consuming
}

func (v *Vitals) signs() signs {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := signs{now: time.Now(), began: v.began, link: v.link}
	for _, name := range slices.Sorted(maps.Keys(v.consumers)) {
		s.consumers = append(s.consumers, namedConsumer{name, v.consumers[name]})
	}
	return s
}
