package brokertest

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hareline/hareline/amqptest"
)

// embeddedPrefix begins the names of brokers that run in the test process.
const embeddedPrefix = "amqptest:"

func isEmbedded(image string) bool { return strings.HasPrefix(image, embeddedPrefix) }

// embeddedNode is a broker in this process. Its sockets are open as long as it lives: one that is stopped or killed
// closes new connections at once, where a container would refuse them.
type embeddedNode struct {
	endpoint
	broker *amqptest.Broker
	log    *logTail
	faults []*amqptest.Injected // of Stop, Kill and Pause; the test's own goroutine uses them
}

func startEmbedded(image string, secure *TLS) (node, error) {
	n := &embeddedNode{endpoint: endpoint{image: image}, log: &logTail{}}
	config, err := secure.config()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", image, err)
	}
	n.broker, err = amqptest.Config{
		Plugins: []string{"rabbitmq_consistent_hash_exchange"},
		Version: amqptest.Version(strings.TrimPrefix(image, embeddedPrefix)),
		Users:   map[string]amqptest.User{user: {Password: password, Tags: []string{"administrator"}}},
		// As for a container, see erlArgs.
		DeadLetterRetry: time.Second,
		Addr:            loopback + ":0",
		Logger:          slog.New(slog.NewTextHandler(n.log, nil)),
		TLS:             config,
	}.Start()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", image, err)
	}
	if err = n.ask(); err != nil {
		_ = n.broker.Close() // the first error tells more
		return nil, fmt.Errorf("start %s: %w", image, err)
	}
	return n, nil
}

// ask finds out where the broker is, and what it says that it is.
func (n *embeddedNode) ask() error {
	n.amqp = n.broker.Addr()
	if strings.HasPrefix(n.broker.URL(), "amqps:") {
		n.tls = n.amqp
	}
	management, err := url.Parse(n.broker.ManagementURL())
	if err != nil {
		return err
	}
	n.api = management.Host
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	api := newAPI(n.api, "/")
	defer api.close()
	n.version, err = api.version(ctx)
	return err
}

func (n *embeddedNode) signal(what string) error {
	switch what {
	case "stop":
		if err := n.inject(amqptest.Fault{Do: amqptest.RefuseConnection, Times: -1}); err != nil {
			return err
		}
		n.broker.Restart() // closes all connections; what then is gone would be at the start
	case "kill":
		if err := n.inject(amqptest.Fault{Do: amqptest.RefuseConnection, Times: -1}); err != nil {
			return err
		}
		n.broker.CutConnections()
		n.broker.Restart()
	case "pause":
		return n.inject(
			amqptest.Fault{Do: amqptest.Stall, On: amqptest.OnConnect, Times: -1},
			amqptest.Fault{Do: amqptest.Stall, On: amqptest.Now})
	case "start", "unpause":
		for _, f := range n.faults {
			f.Remove()
		}
		n.faults = nil
	default:
		return fmt.Errorf("%s: an embedded broker cannot do that", what)
	}
	return nil
}

func (n *embeddedNode) inject(faults ...amqptest.Fault) error {
	for _, f := range faults {
		in, err := n.broker.Inject(f)
		if err != nil {
			return err
		}
		n.faults = append(n.faults, in)
	}
	return nil
}

func (n *embeddedNode) ctl(args ...string) (string, error) {
	if len(args) != 2 || args[0] != "set_vm_memory_high_watermark" {
		return "", fmt.Errorf("rabbitmqctl %s: an embedded broker has no such command, see embedded.go", strings.Join(args, " "))
	}
	if args[1] == "0" {
		return "", n.broker.Alarm("memory")
	}
	return "", n.broker.ClearAlarm("memory")
}

func (n *embeddedNode) tail(lines int) string { return n.log.tail(lines) }

func (n *embeddedNode) remove() error { return n.broker.Close() }

// logTail keeps the last lines of a log. It may be used concurrently.
type logTail struct {
	mu    sync.Mutex
	lines []string
}

const logLines = 1000

// Write takes one line, as slog's handlers write them.
func (l *logTail) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) >= 2*logLines {
		l.lines = append([]string(nil), l.lines[logLines:]...)
	}
	l.lines = append(l.lines, strings.TrimRight(string(line), "\n"))
	return len(line), nil
}

func (l *logTail) tail(lines int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[max(0, len(l.lines)-lines):], "\n")
}
