// Command tls publishes and gets one message over TLS, logged in by a client
// certificate alone, and shows what a wrong name in it would say. Without a
// broker of yours it makes an authority and certificates and starts a broker
// with them in its own process. With yours, name the certificates in the URL:
//
//	go run ./examples/tls
//	AMQP_URL='amqps://rabbit.example.com/?cacertfile=ca.pem&certfile=client.pem&keyfile=client.key' go run ./examples/tls
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/amqptest"
	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/examples/internal/example"
	"github.com/hareline/hareline/internal/testca"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

func main() { example.Main("tls", run) }

func run(ctx context.Context, out io.Writer, url string) error {
	cfg := link.Config{URLs: []string{url}, Name: "tls-example", Properties: amqp.Table{"product": "tls example"}}
	if url == "" {
		b, secure, err := broker()
		if err != nil {
			return err
		}
		defer b.Close() //nolint:errcheck // the process ends with it
		cfg.URLs, cfg.TLS = []string{"amqps://" + b.Addr() + "/"}, secure
		fmt.Fprintln(os.Stderr, "tls: AMQP_URL is not set; using a broker in this process")
	}
	l, err := link.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer l.Close(context.Background()) //nolint:errcheck // nothing is under way any more
	fmt.Fprintln(out, "connected to", l.State(link.Publishing).Server)

	orders := topology.WorkQueue("tls.orders", topology.WorkConfig{})
	if err := topology.Declare(ctx, l, orders.Topology); err != nil {
		return err
	}
	pub, err := confirm.Open(ctx, l, confirm.Config{})
	if err != nil {
		return err
	}
	defer pub.Close(context.Background()) //nolint:errcheck // all is confirmed
	if err := pub.Publish(ctx, "", orders.Queue, amqp.Publishing{Body: []byte("for your eyes only")}); err != nil {
		return err
	}
	fmt.Fprintln(out, "published")
	body, err := get(ctx, l, orders.Queue)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "got %q\n", body)
	return wrong(ctx, cfg, out)
}

// get takes one message.
func get(ctx context.Context, l *link.Link, queue string) ([]byte, error) {
	s, err := l.Session(ctx, link.Consuming)
	if err != nil {
		return nil, err
	}
	defer s.Close(ctx) //nolint:errcheck // the link is closed next
	var body []byte
	err = s.Do(ctx, func(ch *amqp.Channel) error {
		d, ok, err := ch.Get(queue, true)
		if err == nil && !ok {
			err = errors.New("the queue is empty")
		}
		body = d.Body
		return err
	})
	return body, err
}

// wrong shows what an error says: nobody's certificate has this name.
func wrong(ctx context.Context, cfg link.Config, out io.Writer) error {
	if cfg.TLS == nil {
		cfg.TLS = &tls.Config{}
	}
	cfg.TLS = cfg.TLS.Clone()
	cfg.TLS.ServerName = "elsewhere.invalid"
	l, err := link.Open(ctx, cfg)
	if err == nil {
		return errors.Join(errors.New("a wrong name was taken"), l.Close(ctx))
	}
	fmt.Fprintln(out, "as elsewhere.invalid:", err)
	return nil
}

// broker is one that takes nobody without a certificate of its authority, and
// what a client needs for it.
func broker() (*amqptest.Broker, *tls.Config, error) {
	ca, err := testca.New("example authority")
	if err != nil {
		return nil, nil, err
	}
	server, err := ca.Issue(testca.Leaf{Name: "broker", Hosts: []string{"127.0.0.1"}})
	if err != nil {
		return nil, nil, err
	}
	client, err := ca.Issue(testca.Leaf{Name: "shop"}) // the user's name
	if err != nil {
		return nil, nil, err
	}
	b, err := amqptest.Config{
		Addr: "127.0.0.1:0", Users: map[string]amqptest.User{"shop": {}},
		TLS: &tls.Config{Certificates: []tls.Certificate{server.TLS}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert},
	}.Start()
	return b, &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{client.TLS}}, err
}
