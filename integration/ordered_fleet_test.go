package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/integration/brokertest"
)

// child is a process of the fleet.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bytes.Buffer
}

// fleet is three processes that come and go, each with a proxy of its own.
type fleet struct {
	t       *testing.T
	plan    orderPlan
	journal string
	proxies []*brokertest.Proxy
	all     []*child
	started int
	random  *rand.Rand
	done    map[string]int
}

func (f *fleet) start(i int) {
	f.t.Helper()
	f.started++
	told, err := json.Marshal(orderProcess{Name: "p" + strconv.Itoa(f.started), URL: f.proxies[i].URL(), Journal: f.journal, Plan: f.plan})
	if err != nil {
		f.t.Fatal(err)
	}
	c := &child{cmd: exec.Command(os.Args[0], "-test.run=^TestOrderedProcess$"), out: &bytes.Buffer{}} //nolint:gosec // this binary
	c.cmd.Env = append(os.Environ(), orderProcessEnv+"="+string(told))
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		f.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.all[i] = c
}

// end ends process i by a signal: SIGKILL without a word, SIGTERM by a drain.
func (f *fleet) end(i int, how os.Signal) {
	f.t.Helper()
	c := f.all[i]
	f.all[i] = nil
	_ = c.cmd.Process.Signal(how)
	_ = c.stdin.Close()
	err := c.cmd.Wait()
	var exit *exec.ExitError
	early := errors.As(err, &exit) && !exit.Exited() // before it listened to signals
	if how == syscall.SIGTERM && err != nil && !early {
		f.t.Errorf("drain: %v\n%s", err, c.out)
	}
	if f.t.Failed() {
		f.t.Logf("process in place %d:\n%s", i, c.out)
	}
}

// disturb makes one mishap.
func (f *fleet) disturb() {
	i := f.random.IntN(len(f.all))
	what := []string{"kill", "kill", "cut", "cut", "stall", "drain"}[f.random.IntN(6)]
	f.done[what]++
	switch what {
	case "kill":
		f.end(i, syscall.SIGKILL)
		f.start(i)
	case "cut":
		f.proxies[i].Cut()
	case "stall": // nothing comes through; handlers go on; then it is cut
		f.proxies[i].Stall()
		f.wait(300 * time.Millisecond)
		f.proxies[i].Cut()
		f.proxies[i].Resume()
	case "drain":
		f.end(i, syscall.SIGTERM)
		f.start(i)
	}
}

func (f *fleet) wait(longest time.Duration) {
	<-time.After(time.Duration(f.random.Int64N(int64(longest))))
}

// publishAll publishes until ctx ends, the messages of each key numbered from 1,
// and tells how many there are of each key.
func (f *fleet) publishAll(ctx context.Context, p *confirm.Publisher) (map[string]int, error) {
	random := rand.New(rand.NewPCG(uint64(f.plan.Seed), 2)) //nolint:gosec // no secret
	parts := f.plan.topology()
	sent := map[string]int{}
	var receipts []*confirm.Receipt
	for ctx.Err() == nil {
		key := fmt.Sprintf("k%d", random.IntN(f.plan.Keys))
		sent[key]++
		exchange, route := parts.Route(key)
		receipts = append(receipts, p.Send(context.WithoutCancel(ctx), exchange, route, amqp.Publishing{MessageId: fmt.Sprintf("%s/%d", key, sent[key])}))
		<-time.After(time.Duration(random.Int64N(int64(f.plan.Pace))))
	}
	for _, r := range receipts {
		if err := r.Wait(context.WithoutCancel(ctx)); err != nil {
			return nil, err
		}
	}
	return sent, nil
}
