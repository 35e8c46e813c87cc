package amqptest

import "time"

// Effect names what a [Fault] does.
type Effect string

// The effects of a fault. Those of a method happen instead of it or after it;
// the client's later methods wait meanwhile, as they would on a broker.
const (
	// Nack refuses a publish: no queue gets it, and the broker answers
	// basic.nack, or nothing on a channel that does not confirm.
	Nack Effect = "nack"
	// DropBefore cuts the connection instead of doing the method: nothing
	// happened.
	DropBefore Effect = "drop before"
	// DropAfter does the method, then cuts the connection instead of
	// answering: it is done, but the client cannot know.
	DropAfter Effect = "drop after"
	// CloseChannel answers with channel.close (Code, Text) instead of doing
	// the method.
	CloseChannel Effect = "close channel"
	// CloseConnection answers with connection.close (Code, Text) instead of
	// doing the method.
	CloseConnection Effect = "close connection"
	// DelayConfirm stores a publish and confirms it Delay later, by the
	// broker's time, or at [Injected.Remove].
	DelayConfirm Effect = "delay confirm"
	// ReorderConfirms stores publishes and keeps their confirms back until
	// there are Count of them (default 2), then sends these in reverse order.
	// [Injected.Remove] sends what it has.
	ReorderConfirms Effect = "reorder confirms"
	// HoldConfirm stores a publish and keeps its confirm back until
	// [Injected.Remove].
	HoldConfirm Effect = "hold confirm"
	// Stall reads nothing more from the connection, after the method, for
	// Delay by the broker's time, or until [Injected.Remove] if Delay is 0.
	// The broker's heartbeats go on. While any fault stalls a connection it is
	// not read.
	Stall Effect = "stall"
	// RaiseAlarm raises the alarm of Resource (memory or disk; default
	// memory), after the method, for Delay, or until [Broker.ClearAlarm] if
	// Delay is 0. One that is raised already lasts at least as long as it would
	// have.
	RaiseAlarm Effect = "raise alarm"
	// DeleteQueue deletes the queues of the point: the one the method names or
	// delivers from, or those a publish was routed to, after it.
	DeleteQueue Effect = "delete queue"
	// CancelConsumers cancels all consumers of these queues, as a broker does
	// when a queue's leader is lost.
	CancelConsumers Effect = "cancel consumers"
	// ForgetConsumers takes all consumers off these queues and tells nobody: the
	// client goes on to wait for deliveries, and may settle what it has.
	ForgetConsumers Effect = "forget consumers"
	// RefuseConnection closes a new socket before anything is read from it.
	RefuseConnection Effect = "refuse connection"
	// RefuseLogin refuses credentials, good ones too.
	RefuseLogin Effect = "refuse login"
)

// Points at which a fault may wait beside the methods of AMQP.
const (
	// OnConnect is a new socket.
	OnConnect = "connect"
	// OnAny is every method of a client from connection.open on.
	OnAny = "any"
	// Now is the moment of [Broker.Inject].
	Now = "now"
)

// DefaultExchange is the name by which a [Fault] means the default exchange,
// since "" means any.
const DefaultExchange = "(AMQP default)"

// Fault is something that goes wrong: where, when, and what.
type Fault struct {
	// Name appears in events and in Dump. Default: what Do says.
	Name string `json:"name,omitempty"`

	// On is the method at which it happens, such as "basic.publish" or
	// "queue.declare"; "basic.deliver" stands for the moment after a delivery
	// was sent; or [OnConnect], [OnAny], [Now]. Default: basic.publish where
	// Do is about publishes; OnConnect for RefuseConnection;
	// connection.start-ok for RefuseLogin; Now for RaiseAlarm, and for
	// DeleteQueue, CancelConsumers and ForgetConsumers if Queue is given; else
	// OnAny, which of a Queue means whatever names it first, its declaration too.
	On string `json:"on,omitempty"`
	// Connection, VHost, Exchange, Key and Queue restrict it to methods
	// that have such. Each is a pattern of path.Match ("orders.*"); "" matches
	// everything. Connection is the name that a client gave itself
	// (connection_name) or the broker's number of it; Exchange may be
	// [DefaultExchange]. Queue is, for a publish, any queue it was routed to.
	// Acks name no queue: they match by that of what they settle first.
	Connection string `json:"connection,omitempty"`
	VHost      string `json:"vhost,omitempty"`
	Exchange   string `json:"exchange,omitempty"`
	Key        string `json:"key,omitempty"`
	Queue      string `json:"queue,omitempty"`

	// Nth is the first match, from 1, at which it happens; then it happens at
	// every Every-th. Default 1 and 1.
	Nth   int `json:"nth,omitempty"`
	Every int `json:"every,omitempty"`
	// Times bounds how often it happens. Default 1, for ReorderConfirms Count;
	// negative: no bound.
	Times int `json:"times,omitempty"`

	// Do is what happens.
	Do Effect `json:"do"`
	// Code and Text are those of CloseChannel and CloseConnection. Default 541,
	// and the code's name with "injected fault".
	Code uint16 `json:"code,omitempty"`
	Text string `json:"text,omitempty"`
	// Delay is that of DelayConfirm (no default), Stall and RaiseAlarm.
	Delay time.Duration `json:"delay,omitempty"`
	// Count is that of ReorderConfirms.
	Count int `json:"count,omitempty"`
	// Resource is that of RaiseAlarm.
	Resource string `json:"resource,omitempty"`
}
