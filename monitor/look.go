package monitor

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hareline/hareline/internal/management"
	"github.com/hareline/hareline/topology"
)

// atOnce is how many requests of a round are under way at once: a broker in trouble is
// not to be troubled more.
const atOnce = 4

// clockSkew is how far ahead of ours a publisher's clock may be.
const clockSkew = time.Minute

func client(m topology.Management) management.Client {
	c := management.Client{URL: m.URL, VHost: m.VHost, HTTP: m.Client}
	if c.VHost == "" {
		c.VHost = "/"
	}
	if c.HTTP == nil {
		c.HTTP = http.DefaultClient
	}
	return c
}

// target is one queue that a round asks for.
type target struct {
	Queue
	ladder    string // whose it is; "": it is one of Config.Queues
	unclaimed bool
}

// targets are all queues that a round asks for: those of Config, then those of ladders.
func (c Config) targets() []target {
	all := make([]target, 0, len(c.Queues))
	for _, q := range c.Queues {
		all = append(all, target{Queue: q})
	}
	for _, l := range c.Ladders {
		var unclaimed []target
		for _, q := range l.Topology().Queues {
			t := target{Queue: Queue{Name: q.Name}, ladder: ladderName(l), unclaimed: q.Name == l.Unclaimed()}
			if t.unclaimed {
				unclaimed = append(unclaimed, t)
				continue
			}
			all = append(all, t)
		}
		all = append(all, unclaimed...)
	}
	return all
}

// ladderName is what the names of a ladder's exchanges and queues begin with.
func ladderName(l topology.Ladder) string { return strings.TrimSuffix(l.Due(), ".due") }

// look is what the API answered in one round. It is the input of everything that follows,
// none of which asks or waits.
type look struct {
	at        time.Time
	took      time.Duration
	queues    []answer // one for each target
	alarms    []management.Alarm
	alarmsErr error
	counts    bool // the broker counts what goes through queues
	countsErr error
}

// answer is what the API said of one queue.
type answer struct {
	queue management.Queue
	found bool
	err   error
}

// look asks for everything, within ctx.
func (m *Monitor) look(ctx context.Context) look {
	l := look{at: time.Now(), queues: make([]answer, len(m.targets))}
	jobs := make(chan func())
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for job := range jobs {
				job()
			}
		})
	}
	jobs <- func() { l.alarms, l.alarmsErr = m.client.Alarms(ctx) }
	jobs <- func() { l.counts, l.countsErr = m.client.Counts(ctx) }
	for i, t := range m.targets {
		jobs <- func() {
			a := &l.queues[i]
			a.queue, a.found, a.err = m.client.Queue(ctx, t.Name)
		}
	}
	close(jobs)
	workers.Wait()
	l.took = time.Since(l.at)
	return l
}

// failure is the first error of a round.
func (l look) failure() *management.Error {
	var failed *management.Error
	if errors.As(l.alarmsErr, &failed) || errors.As(l.countsErr, &failed) {
		return failed
	}
	for _, a := range l.queues {
		if errors.As(a.err, &failed) {
			return failed
		}
	}
	return nil
}

// public is the error in the type that users know; nil stays nil.
func public(err error) error {
	var failed *management.Error
	if errors.As(err, &failed) {
		return &topology.ManagementError{URL: failed.URL, Status: failed.Status, Fix: failed.Fix, Err: failed.Err}
	}
	return err
}

// number is the count for a report.
func number(c management.Count) Number { return Number{Value: c.N, Known: c.Known} }

// report is one queue without what needs an earlier round.
func (a answer) report(t target, at time.Time) QueueReport {
	r := QueueReport{Queue: t.Name, DeadLetterQueue: t.DeadLetterQueue, Missing: a.err == nil && !a.found, Err: public(a.err)}
	if !a.found || a.err != nil {
		return r
	}
	q := a.queue
	r.Type, r.State = q.Type, q.State
	r.Messages, r.Ready, r.Unacked = number(q.Messages), number(q.Ready), number(q.Unacked)
	r.Held, r.Consumers = number(q.Held), number(q.Consumers)
	r.OldestMessage = oldest(q, at)
	if q.Members.Known && q.Online.Known && len(q.Members.List) > 0 {
		online := 0
		up := map[string]bool{}
		for _, node := range q.Online.List {
			up[node] = true
		}
		for _, node := range q.Members.List {
			if up[node] {
				online++
			}
		}
		r.Members, r.Online = known(float64(len(q.Members.List))), known(float64(online))
	}
	return r
}

// oldest is the age of the message at the head. A timestamp that cannot be one, in
// milliseconds for instance, leaves it unknown.
func oldest(q management.Queue, at time.Time) Number {
	switch {
	case q.Type != "classic" || !q.Ready.Known:
		return Number{}
	case q.Ready.N == 0:
		return known(0)
	case !q.HeadTimestamp.Known:
		return Number{}
	}
	age := at.Unix() - int64(q.HeadTimestamp.N)
	if age < -int64(clockSkew/time.Second) {
		return Number{}
	}
	return known(float64(max(age, 0)))
}
