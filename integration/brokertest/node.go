package brokertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/testcontainers/testcontainers-go"
	tcexec "github.com/testcontainers/testcontainers-go/exec"
)

const (
	loopback   = "127.0.0.1"
	user       = "hareline"
	password   = "hareline"
	startLimit = 120 * time.Second // a start takes 4 to 8 s; on a loaded machine with 2 cores far longer
	// Defaults of the broker that only make tests wait: the at-least-once dead-letter worker tries again after 180 s
	// [H 6], and queue counts are published every 5 s.
	erlArgs = "-rabbit dead_letter_worker_publisher_confirm_timeout 1000" +
		" -rabbit collect_statistics_interval 500 -rabbit quorum_tick_interval 500"
)

// node is one broker. Its addresses stay the same through restarts.
type node interface {
	where() *endpoint
	// signal does stop, kill, start, pause or unpause.
	signal(what string) error
	// ctl does what rabbitmqctl would with these arguments, and returns what it would print.
	ctl(args ...string) (string, error)
	// tail is the end of the broker's log, or why there is none.
	tail(lines int) string
	// remove ends the broker, with all that it keeps.
	remove() error
}

// endpoint is where a node is, and what it says that it is.
type endpoint struct {
	image     string
	amqp, api string // host:port
	tls       string // host:port of the TLS listener, or empty
	version   string // the server's own word
}

func (e *endpoint) where() *endpoint { return e }

// containerNode is a broker in a container.
type containerNode struct {
	endpoint
	engine    *engine
	container *testcontainers.DockerContainer
}

func startContainer(e *engine, image string, secure *TLS) (node, error) {
	var err error
	for range 3 { // a chosen port may be taken before the container has it
		var n *containerNode
		if n, err = tryStartContainer(e, image, secure); err == nil {
			return n, nil
		}
		if !strings.Contains(err.Error(), "address already in use") && !strings.Contains(err.Error(), "already allocated") {
			break
		}
	}
	return nil, err
}

func tryStartContainer(e *engine, image string, secure *TLS) (*containerNode, error) {
	free, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	amqpPort, apiPort := free[0], free[1]
	n := &containerNode{engine: e, endpoint: endpoint{
		image: image, amqp: net.JoinHostPort(loopback, amqpPort), api: net.JoinHostPort(loopback, apiPort),
	}}
	ports := network.PortMap{
		network.MustParsePort("5672/tcp"):  {bind(amqpPort)},
		network.MustParsePort("15672/tcp"): {bind(apiPort)},
	}
	exposed := []string{"5672/tcp", "15672/tcp"}
	if secure != nil {
		n.tls = net.JoinHostPort(loopback, free[2])
		ports[network.MustParsePort("5671/tcp")] = []network.PortBinding{bind(free[2])}
		exposed = append(exposed, "5671/tcp")
	}
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	n.container, err = testcontainers.Run(ctx, image,
		testcontainers.WithFiles(secure.files()...),
		testcontainers.WithEnv(map[string]string{
			"RABBITMQ_DEFAULT_USER": user, "RABBITMQ_DEFAULT_PASS": password,
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": erlArgs,
		}),
		testcontainers.WithLabels(map[string]string{labelOwner: e.owner}),
		testcontainers.WithConfigModifier(func(c *container.Config) { c.Hostname = "rabbit" }), // names the data folder
		testcontainers.WithExposedPorts(exposed...),
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) { h.PortBindings = ports }),
	)
	if err == nil {
		err = n.await(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a container of %s: %w", image, err), n.discard())
	}
	return n, nil
}

func bind(port string) network.PortBinding {
	return network.PortBinding{HostIP: netip.MustParseAddr(loopback), HostPort: port}
}

// discard removes what a failed start left, and says what the broker said.
func (n *containerNode) discard() error {
	if n.container == nil {
		return nil
	}
	said := n.tail(30)
	if err := n.remove(); err != nil {
		return err
	}
	return fmt.Errorf("end of the broker's log:\n%s", said)
}

func (n *containerNode) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	err := n.engine.removeContainer(ctx, n.container.GetContainerID())
	// It finds no container any more, but closes the connections of its own client.
	_ = n.container.Terminate(ctx, testcontainers.StopTimeout(0))
	return err
}

// await waits until the broker takes AMQP connections and its management API answers without an alarm.
func (n *containerNode) await(ctx context.Context) error {
	api := newAPI(n.api, "/")
	defer api.close()
	for {
		err := n.ready(ctx, api)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the broker was not ready in time: %w", errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (n *containerNode) ready(ctx context.Context, api *API) error {
	conn, err := dial("amqp://"+user+":"+password+"@"+n.amqp+"/", 3*time.Second)
	if err != nil {
		return err
	}
	if err := conn.Close(); err != nil {
		return err
	}
	if err := api.Healthy(ctx); err != nil {
		return err
	}
	n.version, err = api.version(ctx)
	return err
}

func dial(url string, limit time.Duration) (*amqp.Connection, error) {
	return amqp.DialConfig(url, amqp.Config{
		Heartbeat: 10 * time.Second, Locale: "en_US", Dial: amqp.DefaultDial(limit),
		Properties: amqp.Table{"connection_name": "brokertest"},
	})
}

// signal kills, starts, restarts, pauses or unpauses the container.
func (n *containerNode) signal(what string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	id, c := n.container.GetContainerID(), n.engine.client
	var err error
	switch what {
	case "kill":
		_, err = c.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "KILL"})
		if err == nil {
			err = n.stopped(ctx)
		}
	case "stop":
		_, err = c.ContainerStop(ctx, id, client.ContainerStopOptions{})
	case "pause":
		_, err = c.ContainerPause(ctx, id, client.ContainerPauseOptions{})
	case "unpause":
		_, err = c.ContainerUnpause(ctx, id, client.ContainerUnpauseOptions{})
	case "start":
		if _, err = c.ContainerStart(ctx, id, client.ContainerStartOptions{}); err == nil {
			err = n.await(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("%s the broker: %w", what, err)
	}
	return nil
}

// stopped waits until the engine knows that a killed container runs no more.
func (n *containerNode) stopped(ctx context.Context) error {
	for {
		r, err := n.engine.client.ContainerInspect(ctx, n.container.GetContainerID(), client.ContainerInspectOptions{})
		if err != nil || !r.Container.State.Running {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ctl runs rabbitmqctl in the container, as the user that owns the broker's cookie.
func (n *containerNode) ctl(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	code, out, err := n.container.Exec(ctx, append([]string{"rabbitmqctl"}, args...),
		tcexec.WithUser("rabbitmq"), tcexec.WithEnv([]string{"HOME=/var/lib/rabbitmq"}), tcexec.Multiplexed())
	if err != nil {
		return "", fmt.Errorf("rabbitmqctl %s: %w", strings.Join(args, " "), err)
	}
	text, err := io.ReadAll(out)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d: %s", code, bytes.TrimSpace(text))
	}
	if err != nil {
		return "", fmt.Errorf("rabbitmqctl %s: %w", strings.Join(args, " "), err)
	}
	return string(text), nil
}

// tail is the end of the broker's log, or why there is none.
func (n *containerNode) tail(lines int) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := n.container.Logs(ctx)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = r.Close() }()
	text, err := io.ReadAll(r)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// freePorts chooses ports that nobody listens on, below those that the system gives to outgoing connections: such a
// connection must not take the port while the broker is down.
func freePorts(count int) ([]string, error) {
	var found []string
	for range 200 {
		port := strconv.Itoa(20000 + rand.IntN(10000))
		l, err := net.Listen("tcp", net.JoinHostPort(loopback, port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("choose a port: %w", err)
		}
		if slices.Contains(found, port) {
			continue
		}
		if found = append(found, port); len(found) == count {
			return found, nil
		}
	}
	return nil, errors.New("no free port between 20000 and 30000 on " + loopback)
}
