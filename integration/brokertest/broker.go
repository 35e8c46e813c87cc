package brokertest

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Broker is a RabbitMQ broker as one test sees it: a virtual host of the test's own. Its methods that take a t fail
// that test when they cannot do what they are asked, so they belong into the test's own goroutine.
type Broker struct {
	URL     string // amqp://user:password@127.0.0.1:port/vhost
	Version string // the server's, such as "4.0.5"
	VHost   string
	Image   string
	TLSURL  string // amqps://127.0.0.1:port/vhost, without a user; only of FreshTLS

	node   node
	api    *API
	shared bool
}

// queuesNoted is the time after which a node has surely noted a new quorum queue on disk.
const queuesNoted = time.Second

// vhosts numbers the virtual hosts of the process.
var vhosts atomic.Int64

func newBroker(t testing.TB, n node, shared bool) *Broker {
	t.Helper()
	vhost := vhostName(t.Name(), vhosts.Add(1))
	at := n.where()
	b := &Broker{
		URL:     "amqp://" + user + ":" + password + "@" + at.amqp + "/" + url.PathEscape(vhost),
		Version: at.version, VHost: vhost, Image: at.image,
		node: n, api: newAPI(at.api, vhost), shared: shared,
	}
	if at.tls != "" {
		b.TLSURL = "amqps://" + at.tls + "/" + url.PathEscape(vhost)
	}
	t.Cleanup(b.api.close)
	if err := b.api.createVHost(t.Context()); err != nil {
		t.Fatalf("brokertest: %v", err)
	}
	if shared {
		t.Cleanup(func() {
			if err := b.api.deleteVHost(); err != nil {
				t.Logf("brokertest: the test's virtual host stays: %v", err)
			}
		})
	}
	return b
}

// vhostName is readable in the broker's log and needs no escape in a URL.
func vhostName(test string, number int64) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, test)
	return fmt.Sprintf("%d-%.60s", number, clean)
}

// API is the management API, for the test's virtual host.
func (b *Broker) API() *API { return b.api }

// AtLeast tells whether the server's version is that or a later one: AtLeast(4, 0).
func (b *Broker) AtLeast(major, minor int) bool {
	var gotMajor, gotMinor int
	if _, err := fmt.Sscanf(b.Version, "%d.%d", &gotMajor, &gotMinor); err != nil {
		return false
	}
	return gotMajor > major || gotMajor == major && gotMinor >= minor
}

// Dial opens a bare AMQP connection, which is closed when the test ends.
func (b *Broker) Dial(t testing.TB) *amqp.Connection {
	t.Helper()
	conn, err := dial(b.URL, 10*time.Second)
	if err != nil {
		t.Fatalf("brokertest: dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.CloseDeadline(time.Now().Add(5 * time.Second)) }) // may be broken by the test, on purpose
	return conn
}

// Channel opens a bare AMQP channel on a connection of its own (see Dial).
func (b *Broker) Channel(t testing.TB) *amqp.Channel {
	t.Helper()
	ch, err := b.Dial(t).Channel()
	if err != nil {
		t.Fatalf("brokertest: open a channel: %v", err)
	}
	return ch
}

// Ctl runs rabbitmqctl in the broker's container and returns what it printed. It takes one or two seconds. An embedded
// broker knows set_vm_memory_high_watermark alone, and the test fails with anything else.
func (b *Broker) Ctl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := b.node.ctl(args...)
	if err != nil {
		t.Fatalf("brokertest: %v", err)
	}
	return out
}

// Restart stops the broker in good order and starts it again on the same port. Only on a Fresh broker, as all below.
func (b *Broker) Restart(t testing.TB) {
	t.Helper()
	b.signal(t, "stop")
	b.signal(t, "start")
}

// Stop stops the broker in good order: clients get connection.close (320, CONNECTION_FORCED).
func (b *Broker) Stop(t testing.TB) { t.Helper(); b.signal(t, "stop") }

// Kill ends the broker by SIGKILL; its disk stays. It waits a second before: a quorum queue that was declared less than
// about half a second before a SIGKILL comes back empty or not at all, confirmed messages or not, for a node notes its
// queues on disk with that delay (seen on 3.10, 4.0 and 4.3). An embedded broker cuts its connections and loses what is
// not durable.
func (b *Broker) Kill(t testing.TB) {
	t.Helper()
	b.own(t, "kill")
	if !isEmbedded(b.Image) {
		<-time.After(queuesNoted)
	}
	b.signal(t, "kill")
}

// Start starts a stopped or killed broker on the same port and waits until it is ready.
func (b *Broker) Start(t testing.TB) { t.Helper(); b.signal(t, "start") }

// Pause freezes the broker: connections stay, nothing answers. An embedded broker's heartbeats and timers go on.
func (b *Broker) Pause(t testing.TB) { t.Helper(); b.signal(t, "pause") }

// Unpause ends Pause.
func (b *Broker) Unpause(t testing.TB) { t.Helper(); b.signal(t, "unpause") }

// Alarm raises the memory alarm: the broker blocks every connection that publishes, until ClearAlarm.
func (b *Broker) Alarm(t testing.TB) {
	t.Helper()
	b.own(t, "alarm")
	b.Ctl(t, "set_vm_memory_high_watermark", "0")
	Eventually(t, 30*time.Second, func() error {
		if b.api.Healthy(t.Context()) == nil {
			return fmt.Errorf("no memory alarm yet")
		}
		return nil
	})
}

// ClearAlarm ends Alarm.
func (b *Broker) ClearAlarm(t testing.TB) {
	t.Helper()
	b.own(t, "clear the alarm of")
	b.Ctl(t, "set_vm_memory_high_watermark", "0.6")
	Eventually(t, 30*time.Second, func() error { return b.api.Healthy(t.Context()) })
}

// Log is the end of the broker's log.
func (b *Broker) Log(lines int) string { return b.node.tail(lines) }

func (b *Broker) signal(t testing.TB, what string) {
	t.Helper()
	b.own(t, what)
	if err := b.node.signal(what); err != nil {
		t.Fatalf("brokertest: %v", err)
	}
}

func (b *Broker) own(t testing.TB, what string) {
	t.Helper()
	if b.shared {
		t.Fatalf("brokertest: a test may not %s a broker that it shares: use Fresh or EachFresh", what)
	}
}
