package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	defaultPartitions = 8
	mostPartitions    = 1024
	// longestPartitionKey leaves room for ".1023of1024" in the 255 bytes of a
	// routing key, and some for later.
	longestPartitionKey = 240
)

// PartitionsConfig says how partitions differ from the default ones. The zero value
// is eight quorum queues with a dead-letter queue that they share.
type PartitionsConfig struct {
	// Count of partitions, 1 to 1024; 0 is 8. It is the most consumers that can be
	// at work at once, and it is part of every name: another count is another set of
	// queues beside the old one, and a key keeps its order over the change only when
	// publishers stop until the old set is empty.
	Count int
	// Exchange, a durable topic exchange, is where publishers publish. "" is the name
	// of the partitions. ExchangeExternal tells that somebody else declares it: see
	// Exchange.External.
	Exchange         string
	ExchangeExternal bool

	// These are as in WorkConfig; the dead-letter queue, "" is the name and ".dlq", is
	// that of all partitions.
	DeadLetterExchange string
	DeadLetterQueue    string
	TTL                time.Duration
	MaxLength          int64 // of each partition
	MaxBytes           int64 // of each partition
	DeliveryLimit      int64
	ConsumerTimeout    time.Duration
	LeaderLocator      LeaderLocator
	InitialGroupSize   int
}

// Partitions are quorum queues among which messages are divided by a key, so that
// those of one key lie in one queue, in the order of their publishing. Each has a
// single active consumer: package ordered handles them key by key. They have no
// place on a ladder, for what comes back from one lies behind its followers (R 9).
//
// Merge and Validate are those of the Topology.
type Partitions struct {
	Topology
	Name            string
	Exchange        string
	Count           int
	DeadLetterQueue string
}

// PartitionedQueue is the topology of partitions: the exchange, the queues
// "name.0of8" to "name.7of8", their bindings "#.0of8" to "#.7of8", and their
// dead-letter exchange and queue. Whatever is wrong with cfg is reported by Validate
// of the result, and of every topology it is merged into.
func PartitionedQueue(name string, cfg PartitionsConfig) Partitions {
	faults := cfg.faults(name)
	if cfg.Exchange == "" {
		cfg.Exchange = name
	}
	if cfg.DeadLetterQueue == "" {
		cfg.DeadLetterQueue = name + ".dlq"
	}
	if cfg.Count == 0 || len(faults) > 0 {
		cfg.Count = defaultPartitions
	}
	p := Partitions{Name: name, Exchange: cfg.Exchange, Count: cfg.Count, DeadLetterQueue: cfg.DeadLetterQueue}
	p.faults = faults
	p.Exchanges = []Exchange{{Name: cfg.Exchange, Kind: amqp.ExchangeTopic}}
	if cfg.ExchangeExternal {
		p.Exchanges = []Exchange{{Name: cfg.Exchange, External: true}}
	}
	for i := range cfg.Count {
		c := cfg.work().withDefaults(p.Queue(i))
		if i == 0 {
			p.Exchanges = append(p.Exchanges, c.deadLetterExchange())
			p.Queues = append(p.Queues, c.deadLetterQueue())
		}
		p.Queues = append(p.Queues, c.queue(p.Queue(i)))
		p.Bindings = append(p.Bindings,
			Binding{Source: c.DeadLetterExchange, Destination: c.DeadLetterQueue, Key: c.DeadLetterKey},
			Binding{Source: p.Exchange, Destination: p.Queue(i), Key: "#." + p.suffix(i)})
	}
	return p
}

func (c PartitionsConfig) work() WorkConfig {
	return WorkConfig{
		Type:               Quorum,
		SingleActive:       true,
		DeadLetterExchange: c.DeadLetterExchange,
		DeadLetterQueue:    c.DeadLetterQueue,
		TTL:                c.TTL,
		MaxLength:          c.MaxLength,
		MaxBytes:           c.MaxBytes,
		DeliveryLimit:      c.DeliveryLimit,
		ConsumerTimeout:    c.ConsumerTimeout,
		LeaderLocator:      c.LeaderLocator,
		InitialGroupSize:   c.InitialGroupSize,
	}
}

// faults are those of the configuration that its topology does not show.
func (c PartitionsConfig) faults(name string) []Fault {
	fs := c.work().faults(name)
	if c.Count < 0 || c.Count > mostPartitions {
		fs = append(fs, Fault{fmt.Sprintf("partitioned queue %q", name), fmt.Sprintf("Count is %d", c.Count),
			fmt.Sprintf("set it to 1 to %d, or leave it 0 for %d", mostPartitions, defaultPartitions)})
	}
	return fs
}

// Route says where to publish a message so that it comes behind all of its key
// published before. The routing key is the key, a dot, and the partition, as in
// "customer-17.3of8". The partition is the CRC-32 (IEEE 802.3, as in zip and zlib) of
// the key's bytes, modulo Count, and will stay so: a publisher in any language can do
// the same. Of a key longer than 240 bytes the routing key has "~" and the SHA-256 in
// hex instead.
func (p Partitions) Route(key string) (exchange, routingKey string) {
	index := p.Index(key)
	if len(key) > longestPartitionKey {
		sum := sha256.Sum256([]byte(key))
		key = "~" + hex.EncodeToString(sum[:])
	}
	return p.Exchange, key + "." + p.suffix(index)
}

// Index is the partition of a key, from 0. It is 0 for the zero value.
func (p Partitions) Index(key string) int {
	return int(crc32.ChecksumIEEE([]byte(key)) % uint32(max(p.Count, 1))) //nolint:gosec // at most 1024
}

// Key is the key in a routing key that Route made for these partitions; another
// routing key is returned as it is.
func (p Partitions) Key(routingKey string) string {
	dot := strings.LastIndexByte(routingKey, '.')
	index, count, _ := strings.Cut(routingKey[dot+1:], "of")
	i, err := strconv.Atoi(index)
	if dot < 0 || err != nil || i < 0 || i >= p.Count || count != strconv.Itoa(p.Count) || index != strconv.Itoa(i) {
		return routingKey
	}
	return routingKey[:dot]
}

// Queue is the name of partition i, from 0.
func (p Partitions) Queue(i int) string { return p.Name + "." + p.suffix(i) }

func (p Partitions) suffix(i int) string { return strconv.Itoa(i) + "of" + strconv.Itoa(p.Count) }

// Work is partition i as a work queue, for burial and replay. It has no place on a
// ladder: nothing of it is to be parked.
func (p Partitions) Work(i int) Work {
	return Work{Topology: p.Topology, Queue: p.Queue(i), DeadLetterQueue: p.DeadLetterQueue}
}
