// Package topology describes exchanges, queues and bindings as one value:
// check it offline, then declare it.
//
// The smallest program:
//
//	orders := topology.WorkQueue("orders", topology.WorkConfig{
//		Bindings: []topology.Binding{{Source: "events", Key: "order.*"}},
//	})
//	t := orders.Topology.Merge(topology.Topology{
//		Exchanges: []topology.Exchange{{Name: "events", Kind: amqp.ExchangeTopic}},
//	})
//	if err := topology.Declare(ctx, l, t); err != nil {
//		return err // *ValidationError, *MismatchError, *PermissionError, *MissingError
//	}
//
// [WorkQueue] builds the value for one work queue: the quorum queue, its
// dead-letter exchange and queue, and the binding to the delay [Ladder] by which
// a failed message comes back later. Everything is durable, and quorum, by
// default; the zero value of each field is the safe choice.
//
// [Topology.Validate] needs no broker. It refuses what a broker accepts in
// silence and then loses messages by: rings of dead letters, a dead-letter
// exchange nobody is bound to, dropped overflow, mistyped arguments. All faults
// are reported at once. [Declare] validates first.
//
// # What exists already
//
// [Declare] fails on what exists with other arguments. [DeclareWith] may take it, where the
// management API shows that it is no weaker: for two releases side by side. [Verify]
// compares the broker with a topology and declares nothing: what is missing, what differs,
// argument by argument and by policies too, which bindings nobody asked for, and what a
// changed subscription left behind. What an admin declares is External, the ladder too;
// [Topology.Permissions] are the rights that are left to need.
//
// # The delay ladder
//
// A ladder holds a message for any delay without head-of-line blocking: level k
// is a queue with a message TTL of 100 ms times 2^k, and the bits of the delay,
// as words of the routing key, say at which levels a message stops. See
// [Ladder] for its names and rules.
//
// # Files and diagrams
//
// Package topologyfile reads a topology from YAML or JSON. [Topology.Mermaid] and
// [Topology.DOT] draw one.
//
// All values here are plain data: copy them, compare them, build them by hand.
// No functions but Declare, DeclareWith and Verify do I/O, and none starts a goroutine.
//
// Rules cited as H n, R n and F n in comments are collected in docs/hazards.md
// of the repository.
package topology
