// Command failover publishes over a link that knows two brokers. The first is closed in
// the middle, the link goes on with the second, and every message is confirmed by one of
// them. At every connect a func is asked for the credentials, as one that reads them from
// a file or a vault would be.
//
// It uses two brokers in its own process, which share nothing: in production the URLs are
// those of one cluster's nodes, where the queue outlives the node. Give these, separated
// by commas, in AMQP_URLS, and stop a node yourself.
//
//	go run ./examples/failover
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

const queue = "example.failover"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var urls []string
	if s := os.Getenv("AMQP_URLS"); s != "" {
		urls = strings.Split(s, ",")
	}
	if err := run(ctx, os.Stdout, urls); err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1) //nolint:gocritic // the process ends here, and its ctx with it
	}
}

func run(ctx context.Context, out io.Writer, urls []string) error {
	stop := func() error { return nil } // what ends the first broker
	if urls == nil {
		first, second, err := brokers()
		if err != nil {
			return err
		}
		defer second.Close() //nolint:errcheck // the process ends with it
		stop, urls = first.Close, []string{first.URL(), second.URL()}
		defer stop()                                  //nolint:errcheck // closed already
		if err := declare(ctx, urls[1]); err != nil { // no cluster: each needs the queue
			return err
		}
	}
	if err := declare(ctx, urls[0]); err != nil {
		return err
	}
	users, hosts, err := split(urls)
	if err != nil {
		return err
	}
	l, err := link.Open(ctx, link.Config{
		URLs:    hosts, // without a user
		InOrder: true,  // the first one first; by default links spread over all
		Credentials: func(context.Context) (link.Credentials, error) {
			return users, nil // with Expires set they are renewed on a connection that stands, too
		},
		Name:   "example",
		Logger: slog.New(slog.DiscardHandler),
		OnState: func(s link.State) {
			fmt.Fprintf(out, "%s: %s %s\n", s.Role, s.Status, s.Server)
		},
	})
	if err != nil {
		return err
	}
	defer l.Close(context.Background()) //nolint:errcheck // all is confirmed
	pub, err := confirm.Open(ctx, l, confirm.Config{})
	if err != nil {
		return err
	}
	defer pub.Close(context.Background()) //nolint:errcheck // all is confirmed
	confirmed := 0
	for i := range 100 {
		if i == 50 {
			if err := stop(); err != nil {
				return err
			}
		}
		// It waits while the link looks for a broker, and sends again what the
		// lost one did not answer.
		err := pub.Publish(ctx, "", queue, amqp.Publishing{MessageId: fmt.Sprintf("message-%d", i)})
		if err != nil {
			return err
		}
		confirmed++
	}
	if err := errors.Join(pub.Close(ctx), l.Close(ctx)); err != nil { // OnState is told all by then
		return err
	}
	_, err = fmt.Fprintf(out, "confirmed %d of 100\n", confirmed)
	return err
}

func brokers() (first, second *amqptest.Broker, err error) {
	fmt.Fprintln(os.Stderr, "failover: AMQP_URLS is not set; using two brokers in this process")
	if first, err = amqptest.Start("127.0.0.1:0"); err != nil {
		return nil, nil, err
	}
	if second, err = amqptest.Start("127.0.0.1:0"); err != nil {
		return nil, nil, errors.Join(err, first.Close())
	}
	return first, second, nil
}

func declare(ctx context.Context, u string) error {
	l, err := link.Open(ctx, link.Config{URLs: []string{u}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return errors.Join(topology.Declare(ctx, l, topology.WorkQueue(queue, topology.WorkConfig{}).Topology), l.Close(ctx))
}

// split takes the credentials out of URLs, for the example's sake.
func split(urls []string) (c link.Credentials, hosts []string, err error) {
	for _, s := range urls {
		u, err := url.Parse(s)
		if err != nil {
			return c, nil, errors.New("AMQP_URLS: not a list of URLs") // url.Parse's own text has the password
		}
		c.User = u.User.Username()
		c.Password, _ = u.User.Password()
		u.User = nil
		hosts = append(hosts, u.String())
	}
	return c, hosts, nil
}
