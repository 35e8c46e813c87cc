package amqptest

import "time"

// EventKind names what an [Event] tells of.
type EventKind string

// The kinds of events. Each names the fields that it fills in beside Seq, At
// and Kind; Connection, Channel and VHost are given wherever there are such.
const (
	// EventConnectionOpened: a client completed its handshake. Text is the
	// name it gave itself, Reason the user.
	EventConnectionOpened EventKind = "connection opened"
	// EventConnectionRefused: a handshake failed. Code, Text.
	EventConnectionRefused EventKind = "connection refused"
	// EventConnectionClosed: Reason is client, broker or lost. Code, Text.
	EventConnectionClosed EventKind = "connection closed"
	// EventConnectionBlocked and EventConnectionUnblocked: an alarm stopped
	// reading from a connection that publishes. Text is the alarms' names.
	EventConnectionBlocked   EventKind = "connection blocked"
	EventConnectionUnblocked EventKind = "connection unblocked"
	EventChannelOpened       EventKind = "channel opened"
	// EventChannelClosed: Reason is client or broker. Code, Text.
	EventChannelClosed EventKind = "channel closed"
	// EventExchangeDeclared: Exchange is new. Type.
	EventExchangeDeclared EventKind = "exchange declared"
	EventExchangeDeleted  EventKind = "exchange deleted"
	// EventQueueDeclared: Queue is new. Type.
	EventQueueDeclared EventKind = "queue declared"
	// EventQueueDeleted: Reason is client, auto-delete, exclusive, expired,
	// fault or restart. Count is the messages that went with it.
	EventQueueDeleted EventKind = "queue deleted"
	EventQueuePurged  EventKind = "queue purged" // Count
	// EventBound and EventUnbound: Exchange is the source, Queue or
	// Destination (an exchange) where it leads, Key the binding key.
	EventBound   EventKind = "bound"
	EventUnbound EventKind = "unbound"
	// EventConsumerAdded: Queue, Consumer.
	EventConsumerAdded EventKind = "consumer added"
	// EventConsumerCancelled: Reason is client, channel (closed), or broker.
	EventConsumerCancelled EventKind = "consumer cancelled"
	// EventConsumerActivated: of a queue with a single active consumer.
	EventConsumerActivated EventKind = "consumer activated"
	// EventPublished: Exchange, Key, MessageID, Tag (the publish's sequence
	// number if the channel confirms), Queues that took it, Reason: "" or
	// refused (by a queue), unroutable, fault.
	EventPublished EventKind = "published"
	// EventReturned: Exchange, Key, MessageID, Code, Text.
	EventReturned EventKind = "returned"
	// EventConfirmed and EventNacked: one each publish. Tag.
	EventConfirmed EventKind = "confirmed"
	EventNacked    EventKind = "nacked"
	// EventDelivered: Queue, Consumer, Tag, MessageID, Redelivered.
	EventDelivered EventKind = "delivered"
	// EventGot: as EventDelivered, by basic.get.
	EventGot EventKind = "got"
	// EventAcked, EventRejected (not to be put back) and EventRequeued tell
	// of one delivery each. Queue, Tag, MessageID. Reason of EventRequeued is
	// nack, reject, recover, channel (closed), or timeout.
	EventAcked    EventKind = "acked"
	EventRejected EventKind = "rejected"
	EventRequeued EventKind = "requeued"
	// EventDeadLettered: a message left Queue for Exchange with Key. Reason
	// is expired, rejected, maxlen or delivery_limit; Queues took it.
	EventDeadLettered EventKind = "dead-lettered"
	// EventDropped: a message is gone for good. Queue, MessageID, Reason as
	// above, or cycle, unroutable.
	EventDropped EventKind = "dropped"
	// EventFault: a Fault was hit. Reason is its Do; Text the method, or what
	// else Fault.On says, and behind a colon the Name, if it was given one.
	EventFault EventKind = "fault"
	// EventAlarmRaised and EventAlarmCleared: Reason is memory or disk.
	EventAlarmRaised  EventKind = "alarm raised"
	EventAlarmCleared EventKind = "alarm cleared"
	// EventAdvanced: Broker.Advance moves the time. Text is by how much; At is
	// before it.
	EventAdvanced EventKind = "time advanced"
	// EventRestarted: the broker was restarted.
	EventRestarted EventKind = "restarted"
)

// Event is one thing that happened in a broker.
type Event struct {
	Seq  uint64    `json:"seq"` // from 1, without gaps
	At   time.Time `json:"at"`  // the broker's time
	Kind EventKind `json:"kind"`
	// Connection counts connections from 1; 0: none.
	Connection  uint64   `json:"connection,omitempty"`
	Channel     uint16   `json:"channel,omitempty"`
	VHost       string   `json:"vhost,omitempty"`
	Exchange    string   `json:"exchange,omitempty"`
	Destination string   `json:"destination,omitempty"`
	Key         string   `json:"key,omitempty"`
	Queue       string   `json:"queue,omitempty"`
	Queues      []string `json:"queues,omitempty"`
	Type        string   `json:"type,omitempty"` // of an exchange or a queue
	Consumer    string   `json:"consumer,omitempty"`
	// Tag is a delivery tag or a publish sequence number.
	Tag         uint64 `json:"tag,omitempty"`
	MessageID   string `json:"message_id,omitempty"`
	Redelivered bool   `json:"redelivered,omitempty"`
	Count       int    `json:"count,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Code        uint16 `json:"code,omitempty"`
	Text        string `json:"text,omitempty"`
}
