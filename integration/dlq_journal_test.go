package integration

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// What replayerProcess is told.
const (
	replayerURL     = "HARELINE_TEST_REPLAYER_URL"
	replayerQueue   = "HARELINE_TEST_REPLAYER_QUEUE"
	replayerJournal = "HARELINE_TEST_REPLAYER_JOURNAL"
)

// A process is killed in the middle of a replay, with copies that are confirmed
// and letters that are not acked. The next replay, with its journal, loses none,
// and lists each letter of which there are two copies (R 21).
func TestReplayResumedAfterAKill(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		const n = 100
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "resumed", topology.WorkConfig{})
		p := publisher(t, l, confirm.Config{})
		letters(t, p, w, n)
		journal := filepath.Join(t.TempDir(), "replay.journal")
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReplayerProcess$", "-test.timeout=0")
		child.Env = append(os.Environ(), replayerURL+"="+b.URL, replayerQueue+"="+w.DeadLetterQueue, replayerJournal+"="+journal)
		out, err := child.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL { //nolint:forcetypeassert // the test is for Unix
			t.Fatalf("the replaying process: %v\n%s", err, out)
		}
		eventually(t, func() bool { return depth(t, l, w.DeadLetterQueue)+depth(t, l, w.Queue) > n }) // its letters are back
		var report dlq.Report
		unlocked(t, func() (err error) {
			report, err = openQueue(l, dlq.QueueConfig{Queue: w.DeadLetterQueue}).Replay(deadline(t), p, dlq.ReplayConfig{Journal: journal})
			return err
		})
		if left := depth(t, l, w.DeadLetterQueue); left != 0 || report.Failed != 0 {
			t.Errorf("%v, %d left", report, left)
		}
		listed := map[string]string{}
		for _, d := range report.Duplicates {
			listed[d.MessageID] = d.ReplayID
		}
		copies := map[string]int{}
		for _, d := range take(t, l, w.Queue) {
			if copies[d.MessageId]++; copies[d.MessageId] == 2 && listed[d.MessageId] != d.Headers[story.HeaderReplayID] {
				t.Errorf("two copies of %s, listed with replay-id %q", d.MessageId, listed[d.MessageId])
			}
		}
		twice := 0
		for _, id := range numbers(0, n) {
			if copies[id] == 0 {
				t.Errorf("letter %s is lost", id)
			}
			if copies[id] > 1 {
				twice++
			}
		}
		if twice == 0 {
			t.Error("the kill did no harm: the test tells nothing")
		}
		t.Logf("%d letters twice, %d listed, %d resumed", twice, len(report.Duplicates), report.Resumed)
	})
}

// killed ends the process behind the nth copy, as soon as one is confirmed whose
// letter cannot be acked yet: one without an answer when the next one is started.
type killed struct {
	pub  *confirm.Publisher
	nth  int
	last error
}

func (k *killed) Start(ctx context.Context, exchange, key string, msg amqp.Publishing) error {
	var last *confirm.PendingError
	if k.nth--; k.nth <= 0 && errors.As(k.last, &last) && errors.Is(last.Outcome(), confirm.ErrPending) {
		<-last.Done()
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	k.last = k.pub.Start(ctx, exchange, key, msg)
	return k.last
}

// TestReplayerProcess is the process that TestReplayResumedAfterAKill starts;
// without it, it has nothing to do.
func TestReplayerProcess(t *testing.T) {
	url := os.Getenv(replayerURL)
	if url == "" {
		return
	}
	l := open(t, link.Config{URLs: []string{url}})
	p := publisher(t, l, confirm.Config{})
	report, err := openQueue(l, dlq.QueueConfig{Queue: os.Getenv(replayerQueue)}).
		Replay(deadline(t), &killed{pub: p, nth: 55}, dlq.ReplayConfig{Window: 20, Journal: os.Getenv(replayerJournal)})
	t.Fatalf("it ended by itself: %v, %v", report, err)
}
