package amqptest

import (
	"sort"
	"time"
)

// defaultSegmentBytes is RabbitMQ's x-stream-max-segment-size-bytes.
const defaultSegmentBytes = 500_000_000

// Octets that a stream's log spends on a chunk and on a message in it, beside
// the message.
const (
	chunkOverhead   = 48
	messageOverhead = 4
)

// streamLog is what a stream holds: messages by offset, in segments. Whole
// segments go when the stream is too large or too old, oldest first; the newest
// stays. Each message is a chunk of its own: RabbitMQ makes one of several
// that arrive at nearly the same time.
type streamLog struct {
	segments     []*segment // oldest first
	next         uint64     // offset of the next message
	bytes        int64
	maxBytes     int64 // of all segments; -1: any number
	maxAge       time.Duration
	segmentBytes int64
	readers      map[*consumer]*streamReader
}

// segment is a run of messages.
type segment struct {
	first   uint64
	records []record
	bytes   int64
}

type record struct {
	at      time.Time
	message *message
}

// newStreamLog makes the log of a stream with these options.
func newStreamLog(o queueOptions) *streamLog {
	l := &streamLog{
		maxBytes: o.maxBytes, maxAge: o.maxAge, segmentBytes: o.segmentBytes,
		readers: make(map[*consumer]*streamReader),
	}
	if l.segmentBytes <= 0 {
		l.segmentBytes = defaultSegmentBytes
	}
	return l
}

// append adds a message.
func (l *streamLog) append(now time.Time, m *message, size int64) {
	last := l.last()
	if last == nil || last.bytes >= l.segmentBytes {
		last = &segment{first: l.next}
		l.segments = append(l.segments, last)
		l.retain(now)
	}
	size += chunkOverhead + messageOverhead
	last.records = append(last.records, record{now, m})
	last.bytes += size
	l.bytes += size
	l.next++
}

func (l *streamLog) last() *segment {
	if len(l.segments) == 0 {
		return nil
	}
	return l.segments[len(l.segments)-1]
}

// retain drops the segments that are too much or too old. It is done whenever
// a segment is begun.
func (l *streamLog) retain(now time.Time) {
	for len(l.segments) > 1 {
		s := l.segments[0]
		tooLarge := l.maxBytes >= 0 && l.bytes > l.maxBytes
		tooOld := l.maxAge > 0 && now.Sub(s.records[len(s.records)-1].at) > l.maxAge
		if !tooLarge && !tooOld {
			return
		}
		l.bytes -= s.bytes
		l.segments[0] = nil
		l.segments = l.segments[1:]
	}
}

// first is the offset of the oldest message, or of the next one.
func (l *streamLog) first() uint64 {
	if len(l.segments) == 0 {
		return l.next
	}
	return l.segments[0].first
}

func (l *streamLog) len() int {
	if l == nil {
		return 0
	}
	return int(l.next - l.first())
}

// at is the message at an offset, if it is there.
func (l *streamLog) at(offset uint64) (record, bool) {
	if offset < l.first() || offset >= l.next {
		return record{}, false
	}
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].first > offset }) - 1
	s := l.segments[i]
	return s.records[offset-s.first], true
}

// since is the offset of the first message that is not older than t.
func (l *streamLog) since(t time.Time) uint64 {
	n := l.len()
	first := l.first()
	return first + uint64(sort.Search(n, func(i int) bool {
		r, _ := l.at(first + uint64(i))
		return !r.at.Before(t)
	}))
}

// each yields the messages, oldest first.
func (l *streamLog) each(yield func(offset uint64, at time.Time, m *message) bool) {
	if l == nil {
		return
	}
	for _, s := range l.segments {
		for i, r := range s.records {
			if !yield(s.first+uint64(i), r.at, r.message) {
				return
			}
		}
	}
}
