package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/telemetry"
	"github.com/hareline/hareline/topology"
)

var quiet = slog.New(slog.DiscardHandler)

// each runs a test on a broker of each version, in a bubble: time passes when
// all wait.
func each(t *testing.T, test func(t *testing.T, b *amqptest.Broker)) {
	t.Helper()
	for _, v := range []amqptest.Version{amqptest.V310, amqptest.V40, amqptest.V43} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { test(t, amqptest.Config{Version: v, Clock: amqptest.Running}.New(t)) })
		})
	}
}

// patience ends what hangs, in the bubble's time.
const patience = 3 * time.Hour

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// pass lets d go by, and whatever falls due at its end happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	synctest.Wait()
	for began := time.Now(); !reached(); pass(10*time.Millisecond + time.Since(began)/20) {
		if time.Since(began) > patience {
			t.Fatalf("never: %s", what)
		}
	}
}

func open(t *testing.T, b *amqptest.Broker) *link.Link {
	t.Helper()
	l, err := link.Open(soon(t), link.Config{URLs: []string{b.PipeURL()}, Dial: b.Dial, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = l.Close(ctx)
	})
	return l
}

// operate does something over a connection of its own, as another program would.
func operate(t *testing.T, b *amqptest.Broker, do func(ch *amqp.Channel) error) {
	t.Helper()
	c, err := amqp.DialConfig(b.PipeURL(), amqp.Config{
		Dial: func(network, addr string) (net.Conn, error) { return b.Dial(context.Background(), network, addr) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := do(ch); err != nil {
		t.Fatal(err)
	}
}

func inject(t *testing.T, b *amqptest.Broker, f amqptest.Fault) *amqptest.Injected {
	t.Helper()
	n, err := b.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// recorder keeps all spans. IDs count up from 1, so that a test can name them.
type recorder struct {
	*tracetest.InMemoryExporter
	provider *sdktrace.TracerProvider
}

func record(t *testing.T, options ...sdktrace.TracerProviderOption) *recorder {
	t.Helper()
	r := &recorder{InMemoryExporter: tracetest.NewInMemoryExporter()}
	r.provider = sdktrace.NewTracerProvider(append(options, sdktrace.WithSyncer(r))...)
	t.Cleanup(func() { _ = r.provider.Shutdown(context.Background()) })
	return r
}

func traced(t *testing.T, r *recorder, cfg telemetry.Config) *telemetry.Telemetry {
	t.Helper()
	cfg.TracerProvider = r.provider
	if cfg.MeterProvider == nil {
		cfg.MeterProvider = noop.NewMeterProvider()
	}
	tel, err := telemetry.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

// rig is a work queue "orders" with all that belongs to it, traced.
type rig struct {
	b      *amqptest.Broker
	l      *link.Link
	w      topology.Work
	spans  *recorder
	tel    *telemetry.Telemetry
	pub    *confirm.Publisher
	copies *confirm.Publisher
}

func newRig(t *testing.T, b *amqptest.Broker, cfg telemetry.Config) *rig {
	t.Helper()
	r := &rig{b: b, l: open(t, b), spans: record(t)}
	r.tel = traced(t, r.spans, cfg)
	r.w = topology.WorkQueue("orders", topology.WorkConfig{Ladder: topology.Ladder{Levels: 6}})
	if err := topology.Declare(soon(t), r.l, r.w.Topology); err != nil {
		t.Fatal(err)
	}
	r.pub = r.publisher(t, confirm.Config{})
	r.copies = r.publisher(t, confirm.Config{})
	return r
}

func (r *rig) publisher(t *testing.T, cfg confirm.Config) *confirm.Publisher {
	t.Helper()
	cfg.Logger, cfg.Tracer = quiet, r.tel
	p, err := confirm.Open(soon(t), r.l, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p
}

var errBoom = retry.Transient(errors.New("boom"))

// chain is that of the documentation.
func (r *rig) chain(w topology.Work, h consumer.Handler) consumer.Handler {
	return consumer.Chain(h,
		r.tel.Middleware(),
		dlq.Middleware(r.copies, w, dlq.Config{Logger: quiet}),
		retry.Middleware(r.copies, w, retry.Policy{MaxRetries: 1, BackOff: retry.Constant(time.Second), Logger: quiet}),
		consumer.Recover())
}

// run consumes a work queue until the test ends, or the result is called.
func (r *rig) run(t *testing.T, w topology.Work, h consumer.Handler) (stop func()) {
	t.Helper()
	return r.consume(t, consumer.Config{Queue: w.Queue, Handler: r.chain(w, h)})
}

func (r *rig) consume(t *testing.T, cfg consumer.Config) (stop func()) {
	t.Helper()
	cfg.Logger = quiet
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := consumer.Run(ctx, r.l, cfg); err != nil {
			t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-ended
		synctest.Wait()
	}
	t.Cleanup(stop)
	synctest.Wait()
	return stop
}

// empty waits until nothing is left in a queue.
func (r *rig) empty(t *testing.T, queue string) {
	t.Helper()
	eventually(t, queue+" is empty", func() bool {
		q, ok := r.b.Queue("/", queue)
		return ok && q.Ready+q.Unacked == 0
	})
}

// buried waits until there are letters.
func (r *rig) buried(t *testing.T, n int) {
	t.Helper()
	eventually(t, "a letter", func() bool {
		q, _ := r.b.Queue("/", r.w.DeadLetterQueue)
		work, _ := r.b.Queue("/", r.w.Queue)
		return q.Ready == n && work.Unacked == 0
	})
}

// replay replays all letters.
func (r *rig) replay(t *testing.T) {
	t.Helper()
	letters := dlq.Open(r.l, dlq.QueueConfig{Queue: r.w.DeadLetterQueue})
	report, err := letters.Replay(soon(t), r.copies, dlq.ReplayConfig{})
	if err != nil || len(report.Failures) > 0 {
		t.Fatal(err, fmt.Sprint(report.Failures))
	}
}
