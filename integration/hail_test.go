package integration

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/retry"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

var hailSize = flag.Int("hail", 80, "how many messages TestKillHail has on each queue; the scenario says 6000")

// In a process with these set, the test binary is a worker and nothing else.
const (
	hailURL  = "HARELINE_HAIL_URL"
	hailType = "HARELINE_HAIL_TYPE"
)

// hailWorker handles the messages of the hail until it is killed, if this
// process is such a worker. It tells of each failure and each success, the latter
// before it can be acked.
func hailWorker() {
	url := os.Getenv(hailURL)
	if url == "" {
		return
	}
	err := hailWork(context.Background(), url, hailQueue(topology.QueueType(os.Getenv(hailType))))
	fmt.Fprintln(os.Stderr, "hail worker:", err)
	os.Exit(1)
}

func hailQueue(kind topology.QueueType) topology.Work {
	return topology.WorkQueue("hail."+string(kind), topology.WorkConfig{Type: kind})
}

func hailWork(ctx context.Context, url string, w topology.Work) error {
	l, err := link.Open(ctx, link.Config{URLs: []string{url}, Logger: logger()})
	if err != nil {
		return err
	}
	copies, err := confirm.Open(ctx, l, confirm.Config{Logger: logger()})
	if err != nil {
		return err
	}
	return consumer.Run(ctx, l, consumer.Config{
		Queue: w.Queue, Workers: 4, Prefetch: 50, Logger: logger(),
		Handler: reliable(copies, w, retry.Policy{BackOff: retry.Constant(100 * time.Millisecond)}, func(_ context.Context, d amqp.Delivery) error {
			told, err := story.Read(d.Headers)
			switch {
			case err != nil:
				return err
			case d.Type == "permanent":
				fmt.Println("failed", d.MessageId)
				return retry.Permanent(errors.New("cannot be handled"))
			case d.Type == "transient" && told.RetryCount == 0:
				fmt.Println("failed", d.MessageId)
				return retry.Transient(errors.New("not yet"))
			}
			fmt.Println("handled", d.MessageId)
			return nil
		}),
	})
}

// Scenario 12 (H 11, H 13.12): the process that handles is killed again and
// again, in the middle of handlers, copies and acks. Every message is handled or
// in the dead-letter queue; some are handled twice. (That the broker is killed is
// TestBrokerKilled.)
func TestKillHail(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		for _, kind := range []topology.QueueType{topology.Quorum, topology.Classic} {
			t.Run(string(kind), func(t *testing.T) {
				h := newHail(t, b, kind)
				for !h.complete() {
					h.kill(t)
				}
				letters := h.finish(t)
				for id := range h.expected {
					if !h.handled[id] {
						t.Errorf("message %s was not handled", id)
					}
					if letters[id] {
						t.Errorf("message %s was buried", id)
					}
				}
				if len(letters) != h.permanent {
					t.Errorf("%d distinct letters, want %d", len(letters), h.permanent)
				}
				t.Logf("%d workers killed, %d messages handled, %d of them again", h.kills, len(h.handled), h.twice)
				if h.kills < 2 {
					t.Errorf("only %d workers were killed", h.kills)
				}
			})
		}
	})
}

type hail struct {
	b         *brokertest.Broker
	l         *link.Link
	w         topology.Work
	kind      topology.QueueType
	random    *rand.Rand
	expected  map[string]bool // to be handled
	handled   map[string]bool
	dead      map[string]bool // whose failure for good was told
	permanent int
	twice     int
	kills     int
}

func newHail(t *testing.T, b *brokertest.Broker, kind topology.QueueType) *hail {
	t.Helper()
	h := &hail{
		b: b, kind: kind, l: open(t, link.Config{URLs: []string{b.URL}}), random: rand.New(rand.NewPCG(12, 1)),
		expected: map[string]bool{}, handled: map[string]bool{}, dead: map[string]bool{},
	}
	h.w = hailQueue(kind)
	if err := topology.Declare(deadline(t), h.l, h.w.Topology); err != nil {
		t.Fatal(err)
	}
	p := publisher(t, h.l, confirm.Config{})
	var receipts []*confirm.Receipt
	for i := range *hailSize {
		msg := amqp.Publishing{MessageId: fmt.Sprint(kind, i)}
		switch i % 10 {
		case 0:
			msg.Type, h.permanent = "permanent", h.permanent+1
		case 1, 4, 7:
			msg.Type = "transient"
		}
		if msg.Type != "permanent" {
			h.expected[msg.MessageId] = true
		}
		receipts = append(receipts, p.Send(deadline(t), "", h.w.Queue, msg))
	}
	for _, r := range receipts {
		if err := r.Wait(deadline(t)); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *hail) complete() bool {
	return len(h.handled) >= len(h.expected) && len(h.dead) >= h.permanent
}

// worker starts one; lines are what it tells, until it is killed, at the end of
// ctx too.
func (h *hail) worker(ctx context.Context, t *testing.T) (cmd *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	cmd = exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), hailURL+"="+h.b.URL, hailType+"="+string(h.kind))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// kill runs a worker and kills it after some lines, or when all is told.
func (h *hail) kill(t *testing.T) {
	t.Helper()
	ctx := deadline(t)
	cmd, lines := h.worker(ctx, t)
	told := 0
	for left := 1 + h.random.IntN(max(60, *hailSize/25)); lines.Scan(); { // to the end: what was told before the kill counts
		h.note(lines.Text())
		if told++; told == left || h.complete() {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
	if told == 0 || ctx.Err() != nil {
		t.Fatalf("nothing more comes: %d of %d messages were handled, %d of %d failed for good", len(h.handled), len(h.expected), len(h.dead), h.permanent)
	}
	h.kills++
}

// finish lets a last worker bury what was told of but not confirmed as buried,
// and returns the letters.
func (h *hail) finish(t *testing.T) map[string]bool {
	t.Helper()
	cmd, lines := h.worker(deadline(t), t)
	told := make(chan struct{})
	go func() {
		defer close(told)
		for lines.Scan() {
		}
	}()
	letters := map[string]bool{}
	eventually(t, func() bool {
		for _, d := range take(t, h.l, h.w.DeadLetterQueue) {
			if l := dlq.Parse(d); l.Reason != story.ReasonPermanent {
				t.Errorf("letter %s: %s", d.MessageId, l.Reason)
			}
			letters[d.MessageId] = true
		}
		return len(letters) >= h.permanent
	})
	_ = cmd.Process.Kill()
	<-told
	_ = cmd.Wait()
	return letters
}

func (h *hail) note(line string) {
	what, id, _ := strings.Cut(line, " ")
	switch {
	case what == "handled" && h.handled[id]:
		h.twice++
	case what == "handled":
		h.handled[id] = true
	case what == "failed" && !h.expected[id]:
		h.dead[id] = true
	}
}
