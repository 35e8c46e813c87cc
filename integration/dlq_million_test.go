package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/dlq"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/story"
	"github.com/hareline/hareline/topology"
)

// The long run: -run TestManyLetters -letters 1000000 -timeout 30m.
var (
	manyLetters = flag.Int("letters", 1000, "how many letters TestManyLetters looks at; its memory is judged from a million on")
	letterSize  = flag.Int("letters.size", 256, "how many bytes the body of a letter of TestManyLetters has")
)

// maxMemory is what looking at a million letters may take of a process, in KiB.
const maxMemory = 100 << 10

// What lookerProcess is told and what it tells.
const (
	lookerURL     = "HARELINE_TEST_LOOKER_URL"
	lookerQueue   = "HARELINE_TEST_LOOKER_QUEUE"
	lookerLetters = "HARELINE_TEST_LOOKER_LETTERS"
)

type lookerReport struct {
	Disorder string // the first letter that was not where it should be
	Seen     int
	Groups   []dlq.Group
	Rest     int
	Replayed int
	Took     map[string]string // by step
	PeakKiB  int               // of memory resident in the process, by the kernel's account
	HeapKiB  int               // the largest heap at the end of a step, garbage included
}

// Many letters are listed, grouped, and ten of them replayed, by a process of
// its own whose memory is measured. The others are where they were, in order
// (R 20), and each of the ten is in the work queue once.
func TestManyLetters(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		n := *manyLetters
		l := open(t, link.Config{URLs: []string{b.URL}})
		w := work(t, l, "many", topology.WorkConfig{})
		buryMany(t, l, w, n)

		var report lookerReport
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLookerProcess$", "-test.timeout=0")
		child.Env = append(os.Environ(), lookerURL+"="+b.URL, lookerQueue+"="+w.DeadLetterQueue, lookerLetters+"="+strconv.Itoa(n))
		var stdout, stderr bytes.Buffer
		child.Stdout, child.Stderr = &stdout, &stderr
		if err := child.Run(); err != nil {
			t.Fatalf("the looking process: %v\n%s%s", err, &stdout, &stderr)
		}
		line, _, _ := strings.Cut(stdout.String(), "\n")
		if err := json.Unmarshal([]byte(line), &report); err != nil {
			t.Fatalf("%v in %q", err, &stdout)
		}
		t.Logf("%d letters: at most %d KiB resident, %d KiB of heap; %v", n, report.PeakKiB, report.HeapKiB, report.Took)
		if report.Disorder != "" || report.Seen != n || report.Replayed != 10 {
			t.Errorf("%s; %d of %d letters seen, %d replayed", report.Disorder, report.Seen, n, report.Replayed)
		}
		counted := 0
		for _, g := range report.Groups {
			counted += g.Count
		}
		if len(report.Groups) != 5 || report.Rest != 0 || counted != n {
			t.Errorf("groups %+v, and %d letters in none", report.Groups, report.Rest)
		}
		if n >= 1_000_000 && report.PeakKiB > maxMemory {
			t.Errorf("%d KiB of memory, want at most %d", report.PeakKiB, maxMemory)
		}
		if got := depth(t, l, w.DeadLetterQueue); got != n-10 {
			t.Errorf("%d letters left, want %d", got, n-10)
		}
		var arrived []string
		for _, d := range take(t, l, w.Queue) {
			arrived = append(arrived, d.MessageId)
		}
		var want []string
		for i := range n {
			if chosen(i, n) {
				want = append(want, strconv.Itoa(i))
			}
		}
		if fmt.Sprint(arrived) != fmt.Sprint(want) {
			t.Errorf("arrived %v, want %v", arrived, want)
		}
	})
}

// chosen are the ten letters that are replayed.
func chosen(i, n int) bool { return i%(n/10) == n/20 }

func buryMany(t *testing.T, l *link.Link, w topology.Work, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Duration(n)*time.Millisecond)
	defer cancel()
	p := publisher(t, l, confirm.Config{Window: 1000})
	body := bytes.Repeat([]byte("x"), *letterSize)
	receipts := make(chan *confirm.Receipt, 1000)
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for r := range receipts {
			if err := r.Wait(ctx); err != nil {
				failed <- err
				cancel()
				return
			}
		}
	}()
	died := time.Now()
	for i := range n {
		s := story.Story{
			RetryCount: 3, RetryMax: 3, FirstFailedAt: died, ErrorClass: "*net.OpError",
			LastError:   fmt.Sprintf("shard %c: read tcp 10.0.%d.%d:%d: i/o timeout", 'a'+i%5, i%256, i%199, i%60000),
			OriginQueue: w.Queue, OriginExchange: "events", OriginKey: "a.b",
			DeadReason: story.ReasonExhausted, DeadAt: died,
		}
		msg := amqp.Publishing{MessageId: strconv.Itoa(i), Headers: s.Table(), Body: body}
		select {
		case receipts <- p.Send(ctx, "", w.DeadLetterQueue, msg):
		case <-ctx.Done():
		}
	}
	close(receipts)
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

// TestLookerProcess is the process that TestManyLetters starts; without it, it
// has nothing to do.
func TestLookerProcess(t *testing.T) {
	url := os.Getenv(lookerURL)
	if url == "" {
		return
	}
	n, err := strconv.Atoi(os.Getenv(lookerLetters))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	l := open(t, link.Config{URLs: []string{url}})
	q := openQueue(l, dlq.QueueConfig{Queue: os.Getenv(lookerQueue)})
	report := lookerReport{Took: map[string]string{}}
	step := func(name string, f func() error) {
		began := time.Now()
		if err := f(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		report.Took[name] = time.Since(began).Round(time.Millisecond).String()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		report.HeapKiB = max(report.HeapKiB, int(m.HeapSys-m.HeapReleased)/1024)
	}
	list := func(want func(i int) bool) func() error {
		return func() error {
			i := 0
			err := q.Look(ctx, func(letter dlq.Letter) error {
				for ; !want(i); i++ {
				}
				if got := letter.Delivery.MessageId; got != strconv.Itoa(i) && report.Disorder == "" {
					report.Disorder = fmt.Sprintf("letter %s where %d should be", got, i)
				}
				i++
				report.Seen++
				return nil
			})
			return err
		}
	}
	step("list", list(func(int) bool { return true }))
	step("group", func() (err error) {
		report.Groups, report.Rest, err = q.Groups(ctx, nil)
		return err
	})
	p := publisher(t, l, confirm.Config{})
	step("replay", func() error {
		got, err := q.Replay(ctx, p, dlq.ReplayConfig{Limit: 10, Select: func(letter dlq.Letter) bool {
			i, err := strconv.Atoi(letter.Delivery.MessageId)
			return err == nil && chosen(i, n)
		}})
		report.Replayed = got.Replayed
		return err
	})
	seen := report.Seen
	step("list again", list(func(i int) bool { return !chosen(i, n) }))
	if left := report.Seen - seen; left != n-10 && report.Disorder == "" {
		report.Disorder = fmt.Sprintf("%d letters left", left)
	}
	report.Seen = seen
	report.PeakKiB = peak(t)
	out, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%s\n", out)
}

// peak is the most memory that was ever resident in this process, in KiB.
func peak(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib
		}
	}
	t.Fatalf("no VmHWM in %s", status)
	return 0
}
