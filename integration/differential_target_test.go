package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/internal/scenario"
)

var scenarioVHosts atomic.Int64

// playReal plays one scenario on a real broker, in a virtual host of its own. Nothing more is held to come when nothing
// came for quiet.
func playReal(ctx context.Context, b *brokertest.Broker, s *scenario.Script, quiet time.Duration) (text string, err error) {
	api := b.API()
	// Names that stand in no script, all of one length: RabbitMQ cuts long texts of errors.
	name := fmt.Sprintf("scenario-%06d", scenarioVHosts.Add(1))
	user, password := api.Credentials()
	if err := api.Do(ctx, http.MethodPut, "/vhosts/"+name, map[string]any{}, nil); err != nil {
		return "", err
	}
	var users []string
	defer func() {
		for _, path := range append(users, "/vhosts/"+name) {
			if e := api.Do(context.WithoutCancel(ctx), http.MethodDelete, path, nil, nil); err == nil {
				err = e
			}
		}
	}()
	allow := func(user string, p brokertest.Permissions) error {
		return api.Do(ctx, http.MethodPut, "/permissions/"+name+"/"+url.PathEscape(user), p, nil)
	}
	if err := allow(user, brokertest.Permissions{Configure: ".*", Write: ".*", Read: ".*"}); err != nil {
		return "", err
	}
	address, err := url.Parse(b.URL)
	if err != nil {
		return "", err
	}
	return scenario.Run(ctx, s, scenario.Target{
		VHost: name, User: user, Password: password, Quiet: quiet,
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address.Host)
		},
		AddUser: func(ctx context.Context, u scenario.User) error {
			path := "/users/" + url.PathEscape(u.Name)
			users = append(users, path)
			if err := api.Do(ctx, http.MethodPut, path, map[string]any{"password": u.Password, "tags": ""}, nil); err != nil {
				return err
			}
			return allow(u.Name, brokertest.Permissions{Configure: u.Configure, Write: u.Write, Read: u.Read})
		},
	})
}

// memory is a broker of package amqptest, whose time stands still while a script does not wait.
type memory struct {
	broker *amqptest.Broker
	target scenario.Target
}

// How long a broker must say nothing until it is held to have no more to say. A busy machine may take longer than soon.
const (
	soonReal, surelyReal     = 30 * time.Millisecond, 150 * time.Millisecond
	soonMemory, surelyMemory = 5 * time.Millisecond, 100 * time.Millisecond
)

const memoryVHost, memoryUser, memoryPassword = "scenario-000000", "recorder", "recorder"

func startMemory(version string, quiet time.Duration, scripts ...*scenario.Script) (*memory, error) {
	users := map[string]amqptest.User{memoryUser: {Password: memoryPassword, Tags: []string{"administrator"}}}
	for _, s := range scripts {
		for _, u := range s.Users(memoryVHost) {
			users[u.Name] = amqptest.User{Password: u.Password, Permissions: map[string]amqptest.Permissions{
				memoryVHost: {Configure: u.Configure, Write: u.Write, Read: u.Read},
			}}
		}
	}
	broker, err := amqptest.Config{
		Version: amqptest.Version(version), Users: users, VHosts: []string{memoryVHost},
		DeadLetterRetry: time.Second, // as on brokertest's brokers
		Clock:           amqptest.Stopped, Trace: 1000,
	}.Start()
	if err != nil {
		return nil, err
	}
	return &memory{broker: broker, target: scenario.Target{
		VHost: memoryVHost, User: memoryUser, Password: memoryPassword,
		Dial: func(context.Context) (net.Conn, error) { return broker.Pipe(), nil },
		Wait: func(_ context.Context, d time.Duration) error {
			broker.Advance(d)
			return nil
		},
		Tick:    broker.Advance,
		Quiet:   quiet,
		AddUser: func(context.Context, scenario.User) error { return nil }, // is there since the start
	}}, nil
}

// playMemory plays one scenario on a broker of package amqptest.
func playMemory(ctx context.Context, version string, s *scenario.Script) (text string, err error) {
	m, err := startMemory(version, surelyMemory, s)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, m.broker.Close()) }()
	return scenario.Run(ctx, s, m.target)
}
