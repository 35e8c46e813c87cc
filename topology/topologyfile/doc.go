// Package topologyfile reads a topology from a YAML or JSON file, and writes one.
//
//	# yaml-language-server: $schema=./topology.schema.json
//	work_queues:
//	  - name: orders
//	    ttl: 7d
//	    bindings:
//	      - {source: events, key: "order.*"}
//	exchanges:
//	  - {name: events, kind: topic}
//
// The smallest program:
//
//	f, err := topologyfile.Read("topology.yaml")
//	if err != nil {
//		return err // *Error: every problem, with file, line, column and field
//	}
//	if err := topology.Declare(ctx, l, f.Topology()); err != nil {
//		return err
//	}
//	orders, err := f.Work("orders") // for retry.Middleware and dlq.Middleware
//
// # The format
//
// A file is one mapping of five lists: work_queues, exchanges, queues, bindings,
// ladders. An entry has the fields of the Go type of the same name, [WorkQueue]
// or the types of package topology, in snake_case: DeadLetterExchange is
// dead_letter_exchange. Their meaning and defaults are those of the Go fields. What
// differs:
//
//   - A duration is text with units: 300ms, 5m, 1h30m, 7d (a day is 24 hours). A bare
//     number is refused, except 0: RabbitMQ means milliseconds by it, Go nanoseconds.
//   - A size (max_bytes) is a number of bytes, or text with a unit: 64MiB, 1GB.
//   - delivery_limit may be unlimited, which is [topology.Unlimited].
//   - longest_retry, of a work queue, is the longest delay of its retry policy:
//     the ladder must reach that far. It stands for [topology.WorkConfig].Retry.
//   - Bindings of a work queue have no destination: it is the work queue.
//   - arguments, and unchecked, are mappings of free form. Whole numbers become int64,
//     others float64.
//
// JSON has the same fields; a file whose name ends in .json is read as JSON. At the
// top it may have "$schema". YAML's anchors, aliases and merge keys work.
//
// # Strictness
//
// Nothing is ignored: an unknown field, a field given twice, one without a value, and
// a number where text is meant are problems. Then the topology is validated
// ([topology.Topology.Validate]), and each fault told with its place. So a file
// must be whole: what it dead-letters to, and is declared elsewhere, it has as
// external.
//
// # Editors
//
// [Schema] is a JSON Schema of the format, with the documentation of each field; it is
// the file schema.json of this folder. Editors complete and check by it:
// yaml-language-server takes it from the comment above, JSON editors from "$schema".
package topologyfile
