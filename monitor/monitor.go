package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hareline/hareline/internal/management"
	"github.com/hareline/hareline/internal/notify"
)

// stopGrace is how long Run waits for hooks that have not returned.
const stopGrace = 5 * time.Second

// Monitor makes rounds: it asks the management API for every queue, compares what it is told
// with the thresholds, and raises and clears alarms. All methods are safe for concurrent use.
type Monitor struct {
	cfg     Config
	client  management.Client
	targets []target
	metrics *metrics

	round chan struct{} // holds one token while a round is made
	past  history       // of the round's holder

	uncounted bool // the round's holder has logged that the broker does not count

	mu      sync.Mutex
	states  states
	report  Report
	running bool
	alarms  *notify.Queue[Alarm] // while Run runs
	reports *notify.Queue[Report]
}

// New makes a monitor, and asks nothing yet. The error is a *ConfigError, or that of a
// MeterProvider.
func New(cfg Config) (*Monitor, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	api := client(cfg.Management)
	instruments, err := newMetrics(cfg.MeterProvider, api)
	if err != nil {
		return nil, err
	}
	return &Monitor{
		cfg: cfg, client: api, targets: cfg.targets(), metrics: instruments,
		round: make(chan struct{}, 1), past: history{},
	}, nil
}

// Run makes the first round at once and then one each Config.Every, until ctx ends. A round
// that takes longer than that delays the next one, and never runs beside it. The end of ctx
// is no error.
func (m *Monitor) Run(ctx context.Context) error {
	if err := m.start(); err != nil {
		return err
	}
	defer m.stop()
	unobserve, err := m.metrics.observe(m)
	if err != nil {
		return err
	}
	defer unobserve()
	tick := time.NewTicker(m.cfg.Every)
	defer tick.Stop()
	for {
		m.Check(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil { // also where both were so
			return nil
		}
	}
}

func (m *Monitor) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running {
		return errors.New("monitor: Run runs already; make another Monitor")
	}
	m.running = true
	m.alarms, m.reports = notify.New(m.cfg.OnAlarm), notify.New(m.cfg.OnReport)
	return nil
}

// stop waits for the hooks, and not for a Check that another goroutine makes.
func (m *Monitor) stop() {
	m.mu.Lock()
	alarms, reports := m.alarms, m.reports
	m.running, m.alarms, m.reports = false, nil, nil
	m.mu.Unlock()
	alarms.Close()
	reports.Close()
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	for _, done := range []<-chan struct{}{alarms.Done(), reports.Done()} {
		select {
		case <-done:
		case <-grace.C: // a hook that blocks must not block Run
			m.cfg.Logger.Warn("monitor: OnAlarm or OnReport has not returned; Run does not wait for it")
			return
		}
	}
}

// Check makes a round now, and waits for one that is under way. It counts among those of
// Config.RaiseAfter and ClearAfter. A round that the end of ctx cut short counts for
// nothing, and leaves everything as it was: its report has the cause as Err.
func (m *Monitor) Check(ctx context.Context) Report {
	select {
	case m.round <- struct{}{}:
		defer func() { <-m.round }()
	case <-ctx.Done():
		return Report{At: time.Now(), Err: fmt.Errorf("monitor: no round was made: %w", context.Cause(ctx))}
	}
	bounded, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	seen := m.look(bounded)
	if ctx.Err() != nil {
		return Report{At: seen.at, Took: seen.took, Err: fmt.Errorf("monitor: the round was cut short: %w", context.Cause(ctx))}
	}
	report := seen.report(m.cfg, m.targets, m.past)
	m.metrics.count(seen)

	m.mu.Lock()
	before := m.report
	after, told := m.states.next(m.cfg.readings(seen, report), policy{m.cfg.RaiseAfter, m.cfg.ClearAfter}, seen.at)
	m.states, m.report = after, report
	running := m.running
	if running { // under the lock: Run, when it ends, closes these
		for _, a := range told {
			m.alarms.Tell(a)
		}
		m.reports.Replace(report.clone())
	}
	m.mu.Unlock()

	m.log(ctx, before, report, told)
	m.logCounts(ctx, seen)
	if !running {
		m.callHooks(report, told)
	}
	return report.clone()
}

// callHooks is for a Check without Run.
func (m *Monitor) callHooks(report Report, told []Alarm) {
	if m.cfg.OnAlarm != nil {
		for _, a := range told {
			m.cfg.OnAlarm(a)
		}
	}
	if m.cfg.OnReport != nil {
		m.cfg.OnReport(report.clone())
	}
}

// Report is that of the last round; its zero value before the first one. It does not wait.
func (m *Monitor) Report() Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.report.clone()
}

// Alarms are those that stand, as of the last round in which they were seen. It does not
// wait.
func (m *Monitor) Alarms() []Alarm {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states.standing()
}

// logCounts tells when the broker begins not to count.
func (m *Monitor) logCounts(ctx context.Context, seen look) {
	if seen.countsErr != nil {
		return
	}
	if !seen.counts && !m.uncounted {
		m.cfg.Logger.WarnContext(ctx, "monitor: the broker does not count what is published and consumed: rates are unknown, and so is whether a queue backs up or a ladder is stuck; see management.rates_mode and management.disable_stats")
	}
	m.uncounted = !seen.counts
}

// log tells of alarms, and of the first round and the last one that fails.
func (m *Monitor) log(ctx context.Context, before, now Report, told []Alarm) {
	switch {
	case now.Err != nil && before.Err == nil:
		m.cfg.Logger.WarnContext(ctx, "monitor: a round failed", "error", now.Err)
	case now.Err == nil && before.Err != nil:
		m.cfg.Logger.InfoContext(ctx, "monitor: the management API answers again")
	}
	for _, a := range told {
		level, what := slog.LevelInfo, "monitor: alarm cleared"
		if a.Raised {
			level, what = slog.LevelWarn, "monitor: alarm raised"
			if a.Severity == Critical {
				level = slog.LevelError
			}
		}
		attrs := []slog.Attr{slog.String("kind", string(a.Kind)), slog.String("text", a.Text), slog.Time("since", a.Since)}
		if a.Queue != "" {
			attrs = append(attrs, slog.String("queue", a.Queue))
		}
		if a.Ladder != "" {
			attrs = append(attrs, slog.String("ladder", a.Ladder))
		}
		m.cfg.Logger.LogAttrs(ctx, level, what, attrs...)
	}
}
