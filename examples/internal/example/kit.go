package example

import (
	"context"

	"github.com/hareline/hareline/confirm"
	"github.com/hareline/hareline/consumer"
	"github.com/hareline/hareline/link"
	"github.com/hareline/hareline/topology"
)

// Kit is what the example of a middleware needs around it.
type Kit struct {
	Work   topology.Work
	Pub    *confirm.Publisher
	Copies *confirm.Publisher // for parked and buried copies alone

	link *link.Link
}

// Open declares the work queue "example.NAME" on the Broker of url. Call end in the
// end: it closes all that Consume has not.
func Open(ctx context.Context, name, url string) (k *Kit, end func(), err error) {
	l, end, err := Link(ctx, name, url, link.Config{})
	if err != nil {
		return nil, nil, err
	}
	k = &Kit{Work: topology.WorkQueue("example."+name, topology.WorkConfig{}), link: l}
	if err := k.open(ctx); err != nil {
		end()
		return nil, nil, err
	}
	return k, end, nil
}

func (k *Kit) open(ctx context.Context) (err error) {
	if err := topology.Declare(ctx, k.link, k.Work.Topology); err != nil {
		return err
	}
	if k.Pub, err = confirm.Open(ctx, k.link, confirm.Config{}); err != nil {
		return err
	}
	k.Copies, err = confirm.Open(ctx, k.link, confirm.Config{})
	return err
}

// Consume consumes the work queue until ctx ends, drains, and closes the publishers
// and the link.
func (k *Kit) Consume(ctx context.Context, cfg consumer.Config) error {
	cfg.Queue = k.Work.Queue
	return consumer.Group{
		Consumers:  []consumer.Config{cfg},
		Publishers: []consumer.Closer{k.Pub, k.Copies},
	}.Run(ctx, k.link)
}
