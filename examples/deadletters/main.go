// Command deadletters works off a dead-letter queue: it groups the letters by what
// went wrong, exports them, tries a replay without doing it, replays one group with
// its bodies mended, slowly and resumably, and parks what was replayed too often.
// It uses the broker at AMQP_URL, or else one in its own process.
//
//	go run ./examples/deadletters
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

const parkingLot = "deadletters.parked"

func main() { example.Main("deadletters", run) }

func run(ctx context.Context, out io.Writer, url string) error {
	l, end, err := example.Link(ctx, "deadletters", url, link.Config{})
	if err != nil {
		return err
	}
	defer end()
	invoices := topology.WorkQueue("deadletters.invoices", topology.WorkConfig{})
	// The parking lot is a dead-letter queue: nothing is dropped by looking at it.
	parked := topology.Topology{Queues: []topology.Queue{{Name: parkingLot, Type: topology.Quorum, DeliveryLimit: topology.Unlimited}}}
	if err := topology.Declare(ctx, l, invoices.Merge(parked)); err != nil {
		return err
	}
	pub, err := confirm.Open(ctx, l, confirm.Config{})
	if err != nil {
		return err
	}
	defer pub.Close(context.Background()) //nolint:errcheck // every outcome was waited for
	for i := range 6 {
		body := fmt.Sprintf(`{"customer": %d, "net": "1%d.00"}`, i, i)
		if i%3 == 2 {
			body = fmt.Sprintf(`{"customer": %d, "net": "1%d,00"}`, i, i) // a comma: from an old shop
		}
		if err := pub.Publish(ctx, "", invoices.Queue, amqp.Publishing{MessageId: fmt.Sprint("invoice-", i), Body: []byte(body)}); err != nil {
			return err
		}
	}
	if err := handle(ctx, l, pub, invoices, 6, fail); err != nil { // all fail: the tax service is not there
		return err
	}
	return workOff(ctx, out, l, pub, invoices)
}

// workOff is what somebody does who looks after the dead letters.
func workOff(ctx context.Context, out io.Writer, l *link.Link, pub *confirm.Publisher, invoices topology.Work) error {
	q := dlq.Open(l, dlq.QueueConfig{Queue: invoices.DeadLetterQueue})
	groups, _, err := q.Groups(ctx, nil)
	if err != nil {
		return err
	}
	for _, g := range groups {
		fmt.Fprintf(out, "%d letters: %s\n", g.Count, g.Text)
	}

	var backup bytes.Buffer // a file, elsewhere
	n, err := q.Export(ctx, &backup, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "exported %d letters\n", n)

	dir, err := os.MkdirTemp("", "deadletters")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder for temporary files
	commas := dlq.Filter{Text: "decimal comma"}
	cfg := dlq.ReplayConfig{
		Select: commas.At(time.Now()),
		Edit: func(_ dlq.Letter, msg *amqp.Publishing) error {
			msg.Body = bytes.Replace(msg.Body, []byte(`,00"`), []byte(`.00"`), 1)
			return nil
		},
		Rate:       100,                                  // a second
		Journal:    filepath.Join(dir, "replay.journal"), // run it again with this file if it dies
		MaxReplays: 1, ParkingLot: parkingLot,
	}
	cfg.DryRun = true
	report, err := q.Replay(ctx, pub, cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "dry run: %d selected, %d would fail\n", report.Selected, report.Failed)

	cfg.DryRun = false
	if report, err = q.Replay(ctx, pub, cfg); err != nil {
		return err
	}
	fmt.Fprintf(out, "mended and replayed %d\n", report.Replayed)
	if err := handle(ctx, l, pub, invoices, report.Replayed, fail); err != nil {
		return err
	}

	// They fail for another reason now, and have had their replay.
	cfg.Select, cfg.Edit = nil, nil
	if report, err = q.Replay(ctx, pub, cfg); err != nil {
		return err
	}
	fmt.Fprintf(out, "replayed %d, parked %d\n", report.Replayed, report.Parked)
	left, err := q.Count(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d letters left\n", left)
	return handle(ctx, l, pub, invoices, report.Replayed, func(amqp.Delivery) error { return nil })
}

func fail(d amqp.Delivery) error {
	if bytes.Contains(d.Body, []byte(`,00"`)) {
		return fmt.Errorf("invoice %q: net has a decimal comma", d.MessageId)
	}
	return errors.New("dial tcp 10.0.0.7:443: connection refused")
}

// handle handles n messages by f.
func handle(ctx context.Context, l *link.Link, copies *confirm.Publisher, invoices topology.Work, n int, f func(amqp.Delivery) error) error {
	if n == 0 {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	bury := dlq.Middleware(copies, invoices, dlq.Config{})
	return consumer.Run(ctx, l, consumer.Config{Queue: invoices.Queue, Handler: bury(func(_ context.Context, d amqp.Delivery) error {
		if n--; n == 0 {
			stop() // Run drains: this one, too, is settled
		}
		return f(d)
	})})
}
