// Package amqptest is a RabbitMQ in the test process: a broker in memory that
// speaks AMQP 0-9-1 as RabbitMQ 3.10, 4.0 or 4.3 does, extensions, error codes
// and texts included. Any client can use it; it knows none.
//
//	func TestOrders(t *testing.T) {
//		b := amqptest.New(t)
//		conn, err := amqp.Dial(b.URL())
//		...
//		b.Advance(24 * time.Hour)
//		if n := len(b.Messages("/", "orders")); n != 0 {
//			t.Errorf("%d orders did not expire", n)
//		}
//	}
//
// [New] is for tests: when the test ends, so does the broker, and what it held
// is logged if the test failed. [Start] is for programs. [Config] has the
// version, users and limits. A guide by use is docs/amqptest.md; for programs
// in other languages there is the command hareline broker.
//
// # Time
//
// The time of a broker of New stands still until [Broker.Advance] moves it:
// messages and queues expire, delays end and timeouts happen, each at its own
// moment and in their order, before Advance returns. The time of a broker of
// Start is the machine's. [Config.Clock] chooses. Heartbeats, and how long a
// handshake or a close may take, always follow the machine's time.
//
// # Testing/synctest
//
// [Broker.URL] opens a socket on the loopback interface. [Broker.Pipe] and
// [Broker.Dial] need none, and so a broker works in a testing/synctest bubble,
// made inside of it and with Config.Clock set to [Running]: then program and
// broker share the bubble's time, which passes when neither has anything to
// do. [Broker.PipeURL] is the URL to go with Dial. Where a client wants a
// function of network and address, as an amqp.Config of amqp091-go does, write
//
//	Dial: func(string, string) (net.Conn, error) { return b.Pipe(), nil }
//
// There are no sockets in a bubble: neither URL, Addr and Listen nor
// ManagementURL are for it, but ManagementHandler is. A broker whose time is
// stopped is a trap there: heartbeats let the bubble's time run on for ever,
// while nothing in the broker expires.
//
// # Faults
//
// [Broker.Inject] makes things go wrong, at a method, a queue or a connection
// of your choice, at the nth time and as often as you say: nacks, confirms
// that are late, in disorder or never sent, connections cut before or after
// the broker did what it was told, closed channels, refused logins, stalls,
// alarms, deleted queues. [Broker.Restart], [Broker.CloseConnections],
// [Broker.CutConnections] and [Broker.Alarm] are what happens to brokers.
//
// A connection that is stalled or blocked by an alarm is not read. A client's
// Close then waits for its answer for ever, in a deferred call too, which comes
// before the end of a broker of New: remove the fault, or clear the alarm,
// before that.
//
// # Looking inside
//
// [Broker.Queues], [Broker.Messages], [Broker.Unacked] and their like show what
// is there without consuming it, [Broker.Dump] all of it. [Broker.Trace] is
// what happened, [Broker.WaitEvent] waits for it, [Broker.CompareTrace] holds
// it against a golden file. Acks have no answer in AMQP, and other publishes
// only a confirm: wait for an event, or for a delivery, before you look.
//
// # Differences from RabbitMQ
//
// The broker was compared with RabbitMQ 3.10.8, 4.0.5 and 4.3.6, one node each,
// configured as they come but for shorter intervals (at-least-once
// dead-lettering, statistics, ticks of quorum queues). These are the
// differences that are known.
//
// What is not there:
//   - One node. Nothing is replicated, and nothing has a leader to lose;
//     [CancelConsumers] does what a client sees of that.
//   - Nothing is on disk. [Broker.Restart] keeps what a restart in good order
//     keeps; there is no crash that loses what was not written.
//   - No policies, operator policies, parameters, limits of virtual hosts and
//     users, or topic permissions. The default type of queues is classic.
//   - AMQP 1.0, MQTT, STOMP and the stream protocol are not spoken. A client of
//     AMQP 1.0 is answered with another protocol header.
//   - Of the plugins, rabbitmq_consistent_hash_exchange alone is known, if
//     [Config.Plugins] names it. Other plugins' types of exchanges are refused
//     as where they are not enabled.
//
// Connections:
//   - On 3.10, a client of AMQP 0-8 is greeted, and then taken for one of
//     0-9-1.
//   - A refused login is answered at once, not after 3 s.
//   - The user guest may log in from anywhere.
//   - EXTERNAL takes the user's name from the certificate's common name, and is
//     offered wherever there is TLS. Users and passwords are [Config.Users]; no
//     LDAP, no OAuth 2. connection.update-secret changes nothing.
//   - There is no flow control by credit between the broker's parts. A client
//     that does not read gets no more deliveries when 1 MiB waits for it, and
//     is not read from when 4 MiB do.
//
// Order and moments:
//   - Where RabbitMQ is free to send several things in any order, this broker
//     has one order.
//   - A publish is confirmed when its queues have it, in memory: nothing is
//     synced, no quorum is waited for. Confirms are gathered over what was
//     read at once, 64 at most.
//   - A quorum queue has a message before the next method of the channel is
//     done. In RabbitMQ a basic.get may overtake the publish.
//   - What is unacknowledged goes back the moment its channel ends, also by an
//     error; RabbitMQ's quorum queues take a while to notice.
//   - The consumer timeout strikes at its moment. RabbitMQ's channels look
//     about once a minute.
//
// Streams:
//   - Each message is a chunk of its own. RabbitMQ makes one of messages that
//     arrive together, of which a consumer that starts at a point in time, or
//     at the last, gets the older ones, too; on 3.10 also those beyond its
//     prefetch.
//   - A header of type decimal: the message is not accepted (basic.nack).
//     RabbitMQ answers 541.
//   - A passive declare counts a message at once; RabbitMQ a while later.
//   - Sizes of segments, and so what x-max-length-bytes and x-max-age remove,
//     are about right. Retention was not compared.
//
// Texts of errors:
//   - Whether a type of exchange is "invalid" or "unknown" depends on the words
//     that a node has met. This broker has a list of the likely ones.
//   - A long array or table in a 406 stands on one line, where Erlang breaks
//     lines.
//   - Node and cluster are called rabbit@amqptest.
//
// Management API:
//   - Plain HTTP, and no pages to look at. PUT of a policy, parameter or limit
//     is 501; lists of them are empty.
//   - What tells of Erlang's processes, memory, files and tables, churn rates,
//     and samples over time (lengths_age and the like) is not served.
//   - Connections, channels and counts are there at once, not after 5 s.
//   - A queue's count of persistent messages is made by walking the queue:
//     slow for large ones.
//
// Of faults, which RabbitMQ has not, these things are good to know. A fault at
// basic.publish sees only publishes that were checked and routed; one that is
// refused anyhow does not count. Publishes of a transaction meet faults at its
// tx.commit: what was stored before a cut stays. A stalled connection's frames
// that are in hand are still done; it is read again when no fault stalls it any
// more. Of a channel that is closed, confirms that were held are forgotten. An
// alarm blocks a connection at its next publish, as in RabbitMQ. Of the
// management API, only publishes meet faults, and they wait for no confirm that
// is kept back; one whose connection is cut is answered with 503.
package amqptest
