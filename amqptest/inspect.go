package amqptest

import "time"

// QueueInfo is a queue as it was at one moment.
type QueueInfo struct {
	VHost      string `json:"vhost"`
	Name       string `json:"name"`
	Type       string `json:"type"` // classic, quorum or stream
	Durable    bool   `json:"durable"`
	AutoDelete bool   `json:"auto_delete"`
	Exclusive  bool   `json:"exclusive"`
	Owner      uint64 `json:"owner,omitempty"` // the connection of an exclusive queue
	// Arguments are those of queue.declare, as plain Go values: whatever
	// integer is an int64, other numbers are a float64, tables a
	// map[string]any, arrays an []any. The same goes for all such maps here.
	Arguments map[string]any `json:"arguments"`
	// Ready messages wait for a consumer, Unacked ones for an ack, Delayed
	// ones (4.3's x-delayed-retry-type) to become ready again. Held ones left
	// dead, and at-least-once dead-lettering has not yet brought them to their
	// target.
	Ready   int `json:"ready"`
	Unacked int `json:"unacked"`
	Delayed int `json:"delayed"`
	Held    int `json:"held"`
	// ReadyBytes and UnackedBytes are their sizes as max-length-bytes counts
	// them: the bodies, and in 4.3's quorum queues the properties too.
	ReadyBytes   int64 `json:"ready_bytes"`
	UnackedBytes int64 `json:"unacked_bytes"`
	Consumers    int   `json:"consumers"`
	// ActiveConsumer is the tag of the single active, or of the exclusive, one.
	ActiveConsumer string     `json:"active_consumer,omitempty"`
	LastUsed       time.Time  `json:"last_used"`
	Stats          QueueStats `json:"stats"`
}

// QueueStats counts messages since the queue was declared.
type QueueStats struct {
	Published      uint64 `json:"published"`
	Delivered      uint64 `json:"delivered"` // to consumers that ack
	DeliveredNoAck uint64 `json:"delivered_no_ack"`
	Got            uint64 `json:"got"` // by basic.get, to be acked
	GotNoAck       uint64 `json:"got_no_ack"`
	GotEmpty       uint64 `json:"got_empty"`
	Acked          uint64 `json:"acked"`
	Redelivered    uint64 `json:"redelivered"`
	Dropped        uint64 `json:"dropped"`
}

// Message is a message in a queue as it was at one moment.
type Message struct {
	VHost      string         `json:"vhost"`
	Queue      string         `json:"queue"`
	Exchange   string         `json:"exchange"` // it was last published to
	RoutingKey string         `json:"routing_key"`
	Headers    map[string]any `json:"headers,omitempty"` // as a consumer would see them
	Body       []byte         `json:"body"`

	ContentType     string    `json:"content_type,omitempty"`
	ContentEncoding string    `json:"content_encoding,omitempty"`
	DeliveryMode    uint8     `json:"delivery_mode,omitempty"`
	Priority        uint8     `json:"priority,omitempty"`
	CorrelationID   string    `json:"correlation_id,omitempty"`
	ReplyTo         string    `json:"reply_to,omitempty"`
	Expiration      string    `json:"expiration,omitempty"`
	MessageID       string    `json:"message_id,omitempty"`
	Timestamp       time.Time `json:"timestamp,omitzero"`
	Type            string    `json:"message_type,omitempty"`
	UserID          string    `json:"user_id,omitempty"`
	AppID           string    `json:"app_id,omitempty"`

	Arrived time.Time `json:"arrived"`          // in this queue
	Expires time.Time `json:"expires,omitzero"` // zero: never
	// Redelivered is what its next delivery would say, or its last one did.
	Redelivered bool `json:"redelivered"`
	// Deliveries are those that count against the delivery limit.
	Deliveries int64 `json:"deliveries"`
	// Offset is its place in a stream.
	Offset uint64 `json:"offset,omitempty"`

	// Where an unacked one is; Consumer is "" after basic.get.
	Connection  uint64    `json:"connection,omitempty"`
	Channel     uint16    `json:"channel,omitempty"`
	Consumer    string    `json:"consumer,omitempty"`
	DeliveryTag uint64    `json:"delivery_tag,omitempty"`
	DeliveredAt time.Time `json:"delivered_at,omitzero"`
}

// ExchangeInfo is an exchange as it was at one moment.
type ExchangeInfo struct {
	VHost      string         `json:"vhost"`
	Name       string         `json:"name"` // "": the default exchange
	Type       string         `json:"type"`
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Internal   bool           `json:"internal"`
	Arguments  map[string]any `json:"arguments"`
	In         uint64         `json:"in"`  // messages published to it
	Out        uint64         `json:"out"` // messages routed from it
}

// BindingInfo is a binding.
type BindingInfo struct {
	VHost           string         `json:"vhost"`
	Source          string         `json:"source"` // an exchange
	Destination     string         `json:"destination"`
	DestinationType string         `json:"destination_type"` // queue or exchange
	RoutingKey      string         `json:"routing_key"`
	Arguments       map[string]any `json:"arguments"`
}

// ConnectionInfo is an open connection as it was at one moment.
type ConnectionInfo struct {
	ID         uint64 `json:"id"`   // counted from 1
	Name       string `json:"name"` // of both ends
	ClientName string `json:"client_name,omitempty"`
	User       string `json:"user"`
	VHost      string `json:"vhost"`
	State      string `json:"state"` // starting, running, blocking, blocked or closing
	Channels   int    `json:"channels"`
	// ConnectedAt is the time at which it was accepted, by the broker.
	ConnectedAt time.Time `json:"connected_at"`
	// ClientProperties are those of connection.start-ok.
	ClientProperties map[string]any `json:"client_properties"`
	FrameMax         uint32         `json:"frame_max"`
	ChannelMax       uint16         `json:"channel_max"`
}

// ChannelInfo is an open channel as it was at one moment.
type ChannelInfo struct {
	Connection    uint64 `json:"connection"`
	Number        uint16 `json:"number"`
	VHost         string `json:"vhost"`
	User          string `json:"user"`
	Consumers     int    `json:"consumers"`
	Unacked       int    `json:"unacked"`
	Prefetch      int    `json:"prefetch"`        // of consumers to come
	GlobalLimit   int    `json:"global_prefetch"` // of the whole channel
	Confirms      bool   `json:"confirms"`
	Published     uint64 `json:"published"` // since confirm.select
	Transactional bool   `json:"transactional"`
	Flow          bool   `json:"flow"`
}

// ConsumerInfo is a consumer as it was at one moment.
type ConsumerInfo struct {
	VHost      string         `json:"vhost"`
	Queue      string         `json:"queue"`
	Tag        string         `json:"tag"`
	Connection uint64         `json:"connection"`
	Channel    uint16         `json:"channel"`
	Acks       bool           `json:"acks"` // it must ack
	Exclusive  bool           `json:"exclusive"`
	Prefetch   int            `json:"prefetch"`
	Priority   int            `json:"priority"`
	Unacked    int            `json:"unacked"`
	Active     bool           `json:"active"` // gets deliveries
	Arguments  map[string]any `json:"arguments"`
}
