// Package link keeps one pair of connections to RabbitMQ alive and hands out
// channels on them.
//
//	l, err := link.Open(ctx, link.Config{URLs: []string{"amqp://app:secret@rabbit:5672/"}})
//	if err != nil {
//		return err
//	}
//	defer l.Close(context.Background())
//
// A [Link] holds two TCP connections, one for publishing and one for
// consuming: a broker under a memory or disk alarm stops reading from
// connections that publish, and acknowledgements must still get through
// (https://www.rabbitmq.com/docs/connection-blocked).
//
// With several URLs a link fails over: it starts with any of them and goes on
// with the next when a connection is lost. amqps URLs have TLS ([Config.TLS]);
// a client certificate logs in where there is no user. Passwords and tokens
// that change come from [Config.Credentials], which is asked at each connect,
// and again before they expire. One link serves many consumers and publishers
// of a program, with as many channels as [Config.MaxChannels] allows;
// [Link.State] tells a health check which broker each connection is at.
//
// A [Session] is one AMQP channel on one of them. It dies whole and is never
// revived: a delivery tag or a confirm belongs to the session it came from,
// and the client's own recovery, which reuses channels, acknowledges other
// messages after a reconnect (H 8.5). Config.Recovery of amqp091-go therefore
// stays nil, and whoever needs a channel again asks for a new session.
//
// Rules cited as H n, R n and F n in comments are collected in docs/hazards.md
// of the repository.
package link
