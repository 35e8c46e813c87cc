//go:build unix

package integration

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/integration/brokertest"
)

// The embedded broker's figures. Each is printed as
//
//	RATIO <name> <median> <goal> ok|short (<least> to <most>)
//
// where more is better, but for start and memory, whose figures are what they
// say they are, and less is better.

const (
	ofStub   = 0.8 // of what the same client reaches against one that only answers
	ofBroker = 1.0 // of what it reaches against RabbitMQ
)

// figure prints one.
func figure(name string, values []float64, goal float64, atMost bool) {
	slices.Sort(values)
	median := values[len(values)/2]
	verdict := "ok"
	if median < goal != atMost && median != goal {
		verdict = "short"
	}
	fmt.Printf("\nRATIO %s %.3f %g %s (%.3f to %.3f)\n", name, median, goal, verdict, values[0], values[len(values)-1])
}

// BenchmarkStart is how long it takes until a test can use a broker, in
// milliseconds.
func BenchmarkStart(b *testing.B) {
	const goal = 5
	timed := func(name string, start func() func()) {
		var took []float64
		for range 101 {
			began := time.Now()
			end := start()
			took = append(took, time.Since(began).Seconds()*1000)
			end()
		}
		figure("start/"+name+"/ms", took, goal, true)
	}
	timed("broker", func() func() {
		broker, err := amqptest.Config{}.Start()
		if err != nil {
			b.Fatal(err)
		}
		return func() { _ = broker.Close() }
	})
	timed("listening", func() func() {
		broker, err := amqptest.Start("127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		return func() { _ = broker.Close() }
	})
	channel := func(broker *amqptest.Broker, url string, cfg amqp.Config) func() {
		conn, err := amqp.DialConfig(url, cfg)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Channel(); err != nil {
			b.Fatal(err)
		}
		return func() {
			_ = conn.Close()
			_ = broker.Close()
		}
	}
	timed("channel-in-memory", func() func() {
		broker, err := amqptest.Config{}.Start()
		if err != nil {
			b.Fatal(err)
		}
		return channel(broker, broker.PipeURL(), inMemory(broker))
	})
	timed("channel-by-socket", func() func() {
		broker, err := amqptest.Start("127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		return channel(broker, broker.URL(), amqp.Config{})
	})
}

func inMemory(broker *amqptest.Broker) amqp.Config {
	return amqp.Config{Locale: "en_US", Dial: func(network, addr string) (net.Conn, error) {
		return broker.Dial(context.Background(), network, addr)
	}}
}

// served is what a benchmark's client talks to.
type served struct {
	name string
	url  string
	cfg  amqp.Config
	args amqp.Table // of the queue
}

// queue is the name of its queue.
func (s served) queue() string {
	if s.args == nil {
		return "bench"
	}
	return "bench-quorum"
}

// BenchmarkEmbedded has the bare client publish with confirms, a thousand under
// way, and consume with a prefetch of a thousand, acking each: against the
// embedded broker, by a socket and in memory, and against a stub. All of them
// are in this process, so that what it uses of the processor compares them
// even where others use the machine, too.
func BenchmarkEmbedded(b *testing.B) {
	stub := startStub(b, messages, body)
	broker, err := amqptest.Config{Addr: "127.0.0.1:0"}.Start()
	if err != nil {
		b.Fatal(err)
	}
	defer broker.Close()
	bySocket := amqp.Config{Locale: "en_US"}
	publish, consume := interleaved(b, 31, []served{
		{name: "stub", url: stub.url(), cfg: bySocket},
		{name: "classic", url: broker.URL(), cfg: bySocket},
		{name: "quorum", url: broker.URL(), cfg: bySocket, args: quorum},
		{name: "classic-in-memory", url: broker.PipeURL(), cfg: inMemory(broker)},
	})
	for _, name := range []string{"classic", "quorum", "classic-in-memory"} {
		figure("publish/"+name+"/stub", ratios(publish, "stub", name, cost.seconds), ofStub, false)
		figure("consume/"+name+"/stub", ratios(consume, "stub", name, cost.seconds), ofStub, false)
		figure("publish-cpu/"+name+"/stub", ratios(publish, "stub", name, cost.cpuSeconds), ofStub, false)
		figure("consume-cpu/"+name+"/stub", ratios(consume, "stub", name, cost.cpuSeconds), ofStub, false)
	}
}

// BenchmarkBroker does the same against RabbitMQ and the embedded broker of
// the same version.
func BenchmarkBroker(b *testing.B) {
	bySocket := amqp.Config{Locale: "en_US"}
	for _, v := range brokertest.Versions(b) {
		for kind, args := range map[string]amqp.Table{"classic": nil, "quorum": quorum} {
			b.Run(v+"/"+kind, func(b *testing.B) {
				broker, err := amqptest.Config{Version: amqptest.Version(v), Addr: "127.0.0.1:0"}.Start()
				if err != nil {
					b.Fatal(err)
				}
				defer broker.Close()
				publish, consume := interleaved(b, rounds, []served{
					{name: "rabbitmq", url: brokertest.Shared(b, v).URL, cfg: bySocket, args: args},
					{name: "amqptest", url: broker.URL(), cfg: bySocket, args: args},
				})
				figure("publish/"+kind+"/rabbitmq-"+v, ratios(publish, "rabbitmq", "amqptest", cost.seconds), ofBroker, false)
				figure("consume/"+kind+"/rabbitmq-"+v, ratios(consume, "rabbitmq", "amqptest", cost.seconds), ofBroker, false)
			})
		}
	}
}

// cost is what some work took.
type cost struct {
	wall, cpu time.Duration // cpu is this process's
}

func (c cost) seconds() float64    { return c.wall.Seconds() }
func (c cost) cpuSeconds() float64 { return c.cpu.Seconds() }

// costs are those by name and round.
type costs map[string][]cost

// measured is what work takes.
func measured(b *testing.B, work func()) cost {
	b.Helper()
	runtime.GC()
	cpu, began := cpuTime(b), time.Now()
	work()
	return cost{wall: time.Since(began), cpu: cpuTime(b) - cpu}
}

// cpuTime is what this process has used of the processors.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// interleaved measures publishing to all, and consuming from them, in turn.
func interleaved(b *testing.B, rounds int, all []served) (publish, consume costs) {
	b.Helper()
	publish, consume = costs{}, costs{}
	for round := range rounds {
		for i := range all {
			s := all[(i+round)%len(all)]
			p, c := there(b, s)
			publish[s.name] = append(publish[s.name], p)
			consume[s.name] = append(consume[s.name], c)
		}
	}
	for _, s := range all {
		b.Logf("%-18s publishes %8.0f a second, consumes %8.0f (medians)", s.name, rate(publish[s.name]), rate(consume[s.name]))
	}
	return publish, consume
}

// rate is the median rate.
func rate(of []cost) float64 {
	took := make([]float64, len(of))
	for i, c := range of {
		took[i] = c.seconds()
	}
	slices.Sort(took)
	return messages / took[len(took)/2]
}

// ratios are those of what base took to what name did, round by round.
func ratios(of costs, base, name string, took func(cost) float64) []float64 {
	var out []float64
	for round := range of[name] {
		out = append(out, took(of[base][round])/took(of[name][round]))
	}
	return out
}

// there publishes messages to a queue, and consumes them, and tells what each
// took.
func there(b *testing.B, s served) (publish, consume cost) {
	b.Helper()
	conn, err := amqp.DialConfig(s.url, s.cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		_, err = ch.QueueDeclare(s.queue(), true, false, false, false, s.args)
	}
	if err == nil {
		_, err = ch.QueuePurge(s.queue(), false)
	}
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		b.Fatal(err)
	}
	publish = measured(b, func() { rawPipelined(b, ch, s.queue()) })
	if err = ch.Close(); err == nil {
		if ch, err = conn.Channel(); err == nil {
			err = ch.Qos(1000, 0, false)
		}
	}
	if err != nil {
		b.Fatal(err)
	}
	consume = measured(b, func() {
		deliveries, err := ch.Consume(s.queue(), "", false, false, false, false, nil)
		if err != nil {
			b.Fatal(err)
		}
		for range messages {
			if err := (<-deliveries).Ack(false); err != nil {
				b.Fatal(err)
			}
		}
		if err := ch.Close(); err != nil { // the acks were taken by now
			b.Fatal(err)
		}
	})
	return publish, consume
}

// BenchmarkMemory is how much more memory is in use, in MiB, once a million
// messages went through a queue than before they came.
func BenchmarkMemory(b *testing.B) {
	const n, goal = 1_000_000, 8
	for kind, args := range map[string]amqp.Table{"classic": nil, "quorum": quorum} {
		b.Run(kind, func(b *testing.B) {
			broker, err := amqptest.Config{}.Start()
			if err != nil {
				b.Fatal(err)
			}
			defer broker.Close()
			s := served{url: broker.PipeURL(), cfg: inMemory(broker), args: args}
			there(b, s) // what the client keeps, it has by now
			before := inUse()
			conn, err := amqp.DialConfig(s.url, s.cfg)
			if err != nil {
				b.Fatal(err)
			}
			ch, err := conn.Channel()
			if err == nil {
				err = ch.Confirm(false)
			}
			if err != nil {
				b.Fatal(err)
			}
			for range n / messages {
				rawPipelined(b, ch, s.queue())
			}
			full := inUse()
			deliveries, err := ch.Consume(s.queue(), "", false, false, false, false, nil)
			if err != nil {
				b.Fatal(err)
			}
			for range n {
				d := <-deliveries
				if d.DeliveryTag%1000 != 0 {
					continue
				}
				if err := d.Ack(true); err != nil {
					b.Fatal(err)
				}
			}
			drained := inUse()
			if err := conn.Close(); err != nil {
				b.Fatal(err)
			}
			b.Logf("MiB in use: %.1f before, %.1f with a million messages, %.1f without them, connection open", before, full, drained)
			figure("memory/"+kind+"/MiB", []float64{drained - before}, goal, true)
		})
	}
}

// inUse is the heap's size in MiB.
func inUse() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}
