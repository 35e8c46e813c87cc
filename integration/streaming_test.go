package integration

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hareline/hareline/integration/brokertest"
)

// streaming builds the main job once for all runs.
var streaming = sync.OnceValues(func() (string, error) {
	dir, err := exec.Command("go", "env", "GOTMPDIR").Output()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(strings.TrimSpace(string(dir)), "hareline-streaming-test")
	if !filepath.IsAbs(binary) {
		binary = filepath.Join("/tmp", binary)
	}
	build := exec.Command("go", "build", "-race", "-o", binary, "github.com/hareline/hareline/examples/streaming")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
})

// Every message of the main job is accounted for, by its own books, in 21
// runs: undisturbed, with all connections cut several times, and with the
// broker restarted in the middle.
func TestStreamingAddsUp(t *testing.T) {
	binary, err := streaming()
	if err != nil {
		t.Fatal(err)
	}
	brokertest.Each(t, func(t *testing.T, b *brokertest.Broker) {
		for run := range 3 {
			total := stream(t, binary, b.URL, 3, nil)
			if !strings.HasSuffix(total, " duplicates=0") {
				t.Errorf("undisturbed run %d: %s", run, total)
			}
		}
		for run := range 3 {
			proxy := b.Proxy(t)
			stream(t, binary, proxy.URL(), 100, func(over <-chan struct{}) {
				for cut := range 4 { // when so much more has passed
					for passed := proxy.Passed(brokertest.ToBroker); proxy.Passed(brokertest.ToBroker) < passed+int64(20_000+7_000*run+3_000*cut); {
						select {
						case <-over:
							return
						case <-time.After(time.Millisecond):
						}
					}
					proxy.Cut()
				}
			})
		}
	})
}

func TestStreamingSurvivesARestart(t *testing.T) {
	binary, err := streaming()
	if err != nil {
		t.Fatal(err)
	}
	brokertest.EachFresh(t, func(t *testing.T, b *brokertest.Broker) {
		proxy := b.Proxy(t)
		stream(t, binary, proxy.URL(), 200, func(over <-chan struct{}) {
			for proxy.Passed(brokertest.ToBroker) < 150_000 {
				select {
				case <-over:
					t.Error("the run was over before the broker was restarted")
					return
				case <-time.After(time.Millisecond):
				}
			}
			b.Restart(t)
		})
	})
}

// stream runs the main job and gives its last line.
func stream(t *testing.T, binary, url string, users int, disturb func(over <-chan struct{})) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	job := exec.CommandContext(ctx, binary, "-url", url, "-users", fmt.Sprint(users), "-timeout", "150s")
	job.Stdout, job.Stderr = &stdout, &stderr
	if err := job.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	var disturbing sync.WaitGroup
	if disturb != nil {
		disturbing.Go(func() { disturb(over) })
	}
	err := job.Wait()
	close(over)
	disturbing.Wait()
	out := strings.TrimSpace(stdout.String())
	total := out[strings.LastIndexByte(out, '\n')+1:]
	if err != nil || !strings.Contains(total, " missing=0 ") {
		t.Fatalf("%v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	t.Log(total)
	return total
}
