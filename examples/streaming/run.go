package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
)

const exchange = "events"

var errTimeout = errors.New("out of time (-timeout)")

// show is one run: the company, its books and its link.
type show struct {
	cfg       config
	stage     *stage
	broker    *amqptest.Broker // nil: it is elsewhere
	link      *link.Link
	bus       *bus.Bus
	careless  *confirm.Publisher // a program that publishes what is no event
	events    publisher
	office    office
	analytics *analyticsService
}

// run plays the whole show and returns an error when the books do not balance.
func run(ctx context.Context, cfg config, out io.Writer, log *slog.Logger) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.timeout, errTimeout)
	defer cancel()
	s := &show{cfg: cfg, stage: &stage{began: time.Now(), quiet: cfg.users > 5, out: out}}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.embed(); err != nil {
		return err
	}
	if err := s.open(ctx, log); err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(ctx)
	consuming, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.bus.Run(consuming); err != nil {
			fail(err)
		}
	}()
	err = s.play(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	missing := s.report()
	stop()
	<-ended
	if missing > 0 {
		err = errors.Join(fmt.Errorf("%d events are neither handled nor in a dead-letter queue", missing), err)
	}
	return err
}

// embed starts a broker in this process if no other is given.
func (s *show) embed() error {
	if s.cfg.url != "" {
		return nil
	}
	var err error
	if s.broker, err = amqptest.Start("127.0.0.1:0"); err != nil {
		return err
	}
	s.cfg.url = s.broker.URL()
	fmt.Fprintln(os.Stderr, "streaming: neither AMQP_URL nor -url is set; using a broker in this process")
	return nil
}

// open connects, and subscribes all services before anything is published.
func (s *show) open(ctx context.Context, log *slog.Logger) error {
	var err error
	if s.link, err = link.Open(ctx, link.Config{URLs: []string{s.cfg.url}, Name: "streaming", ReconnectMax: 2 * time.Second, Logger: log}); err != nil {
		return err
	}
	policy := retry.Policy{BackOff: retry.Schedule(200*time.Millisecond, 400*time.Millisecond, 800*time.Millisecond)}
	s.bus, err = bus.Open(ctx, s.link, bus.Config{Exchange: exchange, Workers: 8, Policy: policy, DrainTimeout: 5 * time.Second, Logger: log})
	if err != nil {
		return err
	}
	if s.careless, err = confirm.Open(ctx, s.link, confirm.Config{Logger: log}); err != nil {
		return err
	}
	run := "streaming." + uuid.NewString()[:8] + "."
	books := newLedger()
	s.events = publisher{bus: s.bus, books: books, run: run}
	s.office = office{bus: s.bus, run: run, books: books}
	return s.subscribe(ctx, observer{run: run, books: books, stage: s.stage, policy: policy})
}

func (s *show) subscribe(ctx context.Context, o observer) error {
	recommendation := &recommendationService{events: s.events, stage: s.stage, superheroes: make(map[string]bool)}
	notification := &notificationService{stage: s.stage}
	s.analytics = &analyticsService{seed: s.cfg.seed, stage: s.stage}
	for _, sub := range []struct {
		pattern, group, service string
		handler                 bus.Handler
	}{
		{"video.watch_started", recommendationQueue, "recommendation", recommendation.handleWatchStarted},
		{"video.watch_started", watchNotificationQueue, "notification", notification.handleWatchStarted},
		{"recommendation.updated", picksNotificationQueue, "notification", notification.handleRecommendationUpdated},
		{"video.*", analyticsQueue, "analytics", s.analytics.handleVideoEvent},
	} {
		s.events.books.subscribe(sub.pattern, sub.group)
		if err := s.bus.Subscribe(ctx, sub.pattern, sub.group, sub.handler, o.watch(sub.group, sub.service)); err != nil {
			return err
		}
	}
	return nil
}

// play is the show itself.
func (s *show) play(ctx context.Context) error {
	s.stage.show(fmt.Sprintf("Run %s: %d users watch videos, one message is broken, one meets a bug", s.events.run, s.cfg.users), nothing)
	if err := s.publish(ctx); err != nil {
		return err
	}
	letters, err := s.office.settle(ctx)
	if err != nil {
		return err
	}
	s.showLetters("All is handled or buried. In the dead-letter queues: %d", letters)

	s.stage.show("Analytics is fixed; what was buried is replayed, once", nothing)
	s.analytics.fixed.Store(true)
	if err := s.office.replay(ctx); err != nil {
		return err
	}
	if letters, err = s.office.settle(ctx); err != nil {
		return err
	}
	s.showLetters("Still in the dead-letter queues: %d", letters)
	return nil
}

func (s *show) showLetters(heading string, letters []dlq.Letter) {
	s.stage.show(fmt.Sprintf(heading, len(letters)), func(out io.Writer) { showLetters(out, s.events.run, letters) })
}

func (s *show) publish(ctx context.Context) error {
	video := &videoService{events: s.events, stage: s.stage}
	for _, v := range viewings(s.cfg.users) {
		if err := video.startWatching(ctx, v); err != nil {
			return fmt.Errorf("publish that %s watches: %w", v.userID, err)
		}
	}
	if err := video.reportProgress(ctx, "user123", 140); err != nil {
		return fmt.Errorf("publish a progress: %w", err)
	}
	s.stage.tell("careless program", `publishes {"event_type": "video.watch_ended", "payl`)
	err := s.events.publishRaw(ctx, s.careless, "video.watch_ended", s.events.id("ended", "user123"), `{"event_type": "video.watch_ended", "payl`)
	if err != nil {
		return fmt.Errorf("publish what is no JSON: %w", err)
	}
	return nil
}

// report writes the totals of what is known, also when time is up, and removes
// the letters. It returns how many events are missing.
func (s *show) report() int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := s.office.look(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "streaming: the dead-letter queues could not be looked at once more:", err)
	}
	all := s.events.books.totals()
	removed, err := s.office.discard(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "streaming: letters of this run stay behind:", err)
	}
	s.stage.show(fmt.Sprintf("The letters of this run have been shown and are removed now: %d", removed), nothing)
	missing := 0
	s.stage.show("The books, by distinct message-id:", func(out io.Writer) { missing = showTotals(out, s.events.run, all) })
	s.stage.end()
	return missing
}

// close ends what is open, publishers before the link, the broker last.
func (s *show) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var errs []error
	if s.bus != nil {
		errs = append(errs, s.bus.Close(ctx))
	}
	if s.careless != nil {
		errs = append(errs, s.careless.Close(ctx))
	}
	if s.link != nil {
		errs = append(errs, s.link.Close(ctx))
	}
	if s.broker != nil {
		errs = append(errs, s.broker.Close())
	}
	return errors.Join(errs...)
}
