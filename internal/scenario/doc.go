// Package scenario plays scripted AMQP 0-9-1 conversations against a broker and writes down what the broker said: the
// same scripts run on a real RabbitMQ and on amqptest, and their transcripts must be equal.
//
// # Scripts
//
// A file holds scripts. Each begins with "--- NAME"; a # with a space after it starts a comment; every other line is a step:
//
//	--- quorum: a nacked message comes back before those never delivered
//	queue.declare q durable x-queue-type=quorum
//	basic.publish "" q body=a
//	basic.publish "" q body=b priority=3 headers={n=1, s="x"}
//	basic.qos 1
//	basic.consume q tag=c
//	expect deliver 1
//	basic.nack 1 requeue
//	expect deliver 1
//	on 2 basic.get q
//
// A step that names a method of AMQP sends it. What the method must have comes first, in AMQP's order; then its bits,
// by name; then its arguments as NAME=VALUE. A method that has a reply is done when the reply, or the end of the
// channel or connection, is there; others are done when they are sent.
//
// A value is an int (I), or a long (l) where it does not fit; a string (S), which needs quotes where it has spaces or
// looks like another value; true or false; [a, b] an array; {k=v} a table; void. Other types, and these where the
// difference matters, are spelled out: byte: ubyte: short: ushort: int: uint: long: float: double: decimal:SCALE,N
// string: bytes: time:SECONDS.
//
// Other steps:
//
//	on 2 STEP           on channel 2 of connection a; "on b STEP" is channel 1 of connection b, "on b.2 STEP" its second
//	repeat 3 STEP       three times; %d in it is 1, 2, 3
//	expect deliver 2    waits for two deliveries since the last such step, whatever else comes; so do expect return,
//	                    confirm, cancel, close, eof, blocked, unblocked and any
//	settle              waits until nothing comes any more, and shows what came, on all channels
//	wait 300ms          time passes
//	depth q 3           waits until a passive declare (on a connection of its own) counts 3 messages; or gone: there is no q; or ?: shows it at once
//	connect b ...       opens a connection with other than the usual parameters: see connect.go
//	dial b              opens a socket and nothing else; all that comes is shown, nothing is answered
//	cut b               drops the connection's socket
//	send ...            raw frames: see send.go
//	user u NAME=REGEX   makes a user with permissions configure, write and read, where named
//	only 4.0 4.3        the script is for these versions alone
//
// A passive declare renews the lease of x-expires, so depth does; and a publish overtakes nothing but may be overtaken: a
// quorum queue answers basic.get before it has what the same channel published just before. Ask for its depth first.
//
// Connections and channels are opened when first used. A closed one stays closed until "channel.open" or "connect".
//
// # Transcripts
//
// Under each step stands what came back while it ran, in the order of its channel. Names that the broker makes up are
// numbered (<gen-1>, <ctag-1>, <reply-to-1>), and so they may be used in later steps; virtual hosts, users and times of
// x-death are replaced. Headers are listed by key in the alphabet's order, for the broker promises none.
package scenario
