// Command monitor watches a queue over RabbitMQ's management API, and answers what an
// orchestrator asks. Nobody consumes, and messages pile up: alarms are raised, and the
// process is not ready. A consumer comes: they are cleared. One message fails for good:
// its letter is told of.
//
//	go run ./examples/monitor
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/monitor"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/topology"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Stdout, os.Getenv("AMQP_URL"), os.Getenv("MANAGEMENT_URL")); err != nil {
		fmt.Fprintln(os.Stderr, "monitor:", err)
		os.Exit(1) //nolint:gocritic // the process ends here, and its ctx with it
	}
}

func run(ctx context.Context, out io.Writer, url, management string) (err error) {
	if url == "" || management == "" {
		b, err := amqptest.Start("127.0.0.1:0") // a RabbitMQ in this process
		if err != nil {
			return err
		}
		defer b.Close() //nolint:errcheck // the process ends with it
		url, management = b.URL(), b.ManagementURL()
		fmt.Fprintln(os.Stderr, "monitor: AMQP_URL and MANAGEMENT_URL are not set; using a broker in this process")
	}
	work := topology.WorkQueue("example.monitor", topology.WorkConfig{})

	queues := monitor.Watch(work) // the work queue and its dead-letter queue
	queues[0].Pending = 20        // by default 1000
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	alarms := make(chan monitor.Alarm, 100)
	m, err := monitor.New(monitor.Config{
		Management: topology.Management{URL: management, Client: &http.Client{Transport: transport}},
		Queues:     queues,
		Ladders:    monitor.Ladders(work),
		Every:      250 * time.Millisecond, // by default a minute
		OnAlarm:    func(a monitor.Alarm) { alarms <- a },
		Logger:     slog.New(slog.DiscardHandler), // it would log the alarms, too
	})
	if err != nil {
		return err
	}
	vitals, err := monitor.NewVitals(monitor.VitalsConfig{Queues: []string{work.Queue}, Monitor: m})
	if err != nil {
		return err
	}
	l, err := link.Open(ctx, link.Config{URLs: []string{url}, OnState: vitals.OnState})
	if err != nil {
		return err
	}
	defer l.Close(context.Background()) //nolint:errcheck // after Group.Run it is closed
	if err := topology.Declare(ctx, l, work.Topology); err != nil {
		return err
	}

	ctx, stop := context.WithCancel(ctx)
	watching := make(chan error, 1)
	go func() { watching <- m.Run(ctx) }()
	defer func() {
		stop()
		err = errors.Join(err, <-watching)
	}()
	return story(ctx, &scene{out: out, l: l, work: work, vitals: vitals, alarms: alarms})
}

// scene is what the story plays in.
type scene struct {
	out    io.Writer
	l      *link.Link
	work   topology.Work
	vitals *monitor.Vitals
	alarms <-chan monitor.Alarm
}

func story(ctx context.Context, s *scene) error {
	server, err := serve(s.vitals)
	if err != nil {
		return err
	}
	defer server.close()
	pub, err := confirm.Open(ctx, s.l, confirm.Config{})
	if err != nil {
		return err
	}
	for i := range 30 {
		if err := pub.Publish(ctx, "", s.work.Queue, amqp.Publishing{MessageId: fmt.Sprint("mail-", i)}); err != nil {
			return err
		}
	}
	if err := s.await(ctx, monitor.NoConsumers, monitor.Pending); err != nil {
		return err
	}
	if err := server.ask(ctx, s.out); err != nil {
		return err
	}

	consuming, stop := context.WithCancel(ctx)
	consumed := make(chan error, 1)
	go func() { consumed <- consume(consuming, s, pub) }()
	err = s.await(ctx, monitor.NoConsumers, monitor.Pending, monitor.DeadLetters)
	if err == nil {
		err = server.ask(ctx, s.out)
	}
	stop()
	return errors.Join(err, <-consumed)
}

// consume handles mails, of which one has no address.
func consume(ctx context.Context, s *scene, pub *confirm.Publisher) error {
	copies, err := confirm.Open(ctx, s.l, confirm.Config{})
	if err != nil {
		return err
	}
	send := func(_ context.Context, d amqp.Delivery) error {
		if d.MessageId == "mail-7" {
			return retry.Permanent(errors.New("no such address"))
		}
		return nil
	}
	handler := consumer.Chain(send, dlq.Middleware(copies, s.work, dlq.Config{}), retry.Middleware(copies, s.work, retry.Policy{}), consumer.Recover())
	return consumer.Group{
		Consumers:  []consumer.Config{{Queue: s.work.Queue, Handler: handler, OnHealth: s.vitals.OnHealth}},
		Publishers: []consumer.Closer{pub, copies},
	}.Run(ctx, s.l)
}

// await prints alarms until one of each kind was told.
func (s *scene) await(ctx context.Context, kinds ...monitor.Kind) error {
	missing := map[monitor.Kind]bool{}
	for _, k := range kinds {
		missing[k] = true
	}
	for len(missing) > 0 {
		select {
		case a := <-s.alarms:
			what := "cleared"
			if a.Raised {
				what = "raised (" + string(a.Severity) + ")"
			}
			fmt.Fprintf(s.out, "%s %s: %s\n", a.Kind, what, a.Text)
			delete(missing, a.Kind)
		case <-ctx.Done():
			return fmt.Errorf("waiting for alarms: %w", ctx.Err())
		}
	}
	return nil
}

// endpoint is where the orchestrator asks.
type endpoint struct {
	server *http.Server
	client *http.Client
	at     string
	ended  chan error
}

func serve(v *monitor.Vitals) (*endpoint, error) {
	mux := http.NewServeMux()
	mux.Handle("/livez", v.Live())
	mux.Handle("/readyz", v.Ready())
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &endpoint{
		server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, client: &http.Client{Transport: &http.Transport{}},
		at: "http://" + at.Addr().String(), ended: make(chan error, 1),
	}
	go func() { e.ended <- e.server.Serve(at) }()
	return e, nil
}

func (e *endpoint) close() {
	e.client.CloseIdleConnections()
	_ = e.server.Close() // nobody waits for an answer
	if err := <-e.ended; !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, "monitor:", err)
	}
}

// ask asks as Kubernetes does, and shows what a person would look at.
func (e *endpoint) ask(ctx context.Context, out io.Writer) error {
	for _, path := range []string{"/livez", "/readyz"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.at+path, nil)
		if err != nil {
			return err
		}
		answer, err := e.client.Do(req)
		if err != nil {
			return err
		}
		var h monitor.Health
		err = json.NewDecoder(answer.Body).Decode(&h)
		_ = answer.Body.Close() // it was only read
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "GET %s: %s", path, answer.Status)
		for _, c := range h.Unready {
			fmt.Fprintf(out, "; %s is %s: %s", c, h.Conditions[c].Level, h.Conditions[c].Text)
		}
		fmt.Fprintln(out)
	}
	return nil
}
