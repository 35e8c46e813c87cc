// Package amqptest is a RabbitMQ in the test process: a broker in memory that
// speaks AMQP 0-9-1 as RabbitMQ 3.10, 4.0 or 4.3 does, extensions, error codes
// and texts included. Any client can use it; it knows none.
//
//	b := amqptest.New(t)
//	conn, err := amqp.Dial(b.URL())
//
// [New] is for tests: the broker's time stands still until [Broker.Advance]
// moves it, so that what takes a day to expire does so at once; when the test
// ends, so does the broker, and what it held is logged if the test failed.
// [Start] is for programs. [Config] has the version, users and limits.
//
// # Connecting
//
// [Broker.URL] opens a socket on the loopback interface. [Broker.Pipe] and
// [Broker.Dial] need none; with them a broker works in a testing/synctest
// bubble, with Config.Clock set to [Running].
//
// # Looking and interfering
//
// [Broker.Queues], [Broker.Messages] and their like show what is there without
// consuming it, [Broker.Dump] all of it, [Broker.Trace] what happened.
// [Broker.Inject] makes things go wrong: nacks, lost or late confirms, cut
// connections, closed channels, deleted queues. [Broker.Restart],
// [Broker.CloseConnections], [Broker.CutConnections] and [Broker.Alarm] are
// what happens to brokers.
//
// # What it is not
//
// One node, nothing on disk, no policies. A client of AMQP 1.0 or 0-8 is told
// that it is not spoken, or taken for one of 0-9-1. Clients that fail to log in
// are not kept waiting. A quorum queue is confirmed
// as soon as it has a message. Where RabbitMQ is free to send several things in
// any order, the broker has one.
package amqptest
