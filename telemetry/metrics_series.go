package telemetry

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
)

// maxValues is how many values of a kind (exchanges, queues, classes of errors,
// reasons, states) the metrics tell apart; all beyond are one.
const maxValues = 100

// other stands for the values beyond maxValues, as in the conventions for error.type.
const other = "_OTHER"

// values are the values of an attribute that come from outside: what a metrics
// backend keeps for each must not grow without bound.
type values struct {
	mu   sync.Mutex
	seen map[string]struct{}
}

// bound returns v, fit for an exporter, or other where there are too many before it.
func (s *values) bound(v string) string {
	v = clean(v)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.seen[v]; ok {
		return v
	}
	if len(s.seen) >= maxValues {
		return other
	}
	if s.seen == nil {
		s.seen = make(map[string]struct{})
	}
	s.seen[v] = struct{}{}
	return v
}

// queueName is a queue's name in attributes. Each name that a server makes for a
// queue is a new one.
func queueName(queue string) string {
	if strings.HasPrefix(queue, serverNamed) {
		return serverNamed + "*"
	}
	return queue
}

const serverNamed = "amq.gen-"

// exchangeName is an exchange's name in attributes; the default one has none of its own.
func exchangeName(exchange string) string {
	if exchange == "" {
		return "amq.default"
	}
	return exchange
}

// family is the series of an instrument by what tells them apart, made when they
// are met first. A key is whatever the caller has; make says with which key, its
// values bounded, a series is kept. Looking one up takes no lock.
type family[K comparable, S any] struct {
	make  func(K) (bounded K, series func() *S)
	mu    sync.Mutex
	known atomic.Pointer[map[K]*S]
}

func (f *family[K, S]) init(series func(K) (K, func() *S)) {
	f.make = series
	f.known.Store(&map[K]*S{})
}

// of gives the series of k.
func (f *family[K, S]) of(k K) *S {
	if s := (*f.known.Load())[k]; s != nil {
		return s
	}
	return f.add(k)
}

func (f *family[K, S]) add(k K) *S {
	bounded, series := f.make(k)
	f.mu.Lock()
	defer f.mu.Unlock()
	before := *f.known.Load()
	if s := before[bounded]; s != nil {
		return s
	}
	after := maps.Clone(before)
	s := series()
	after[bounded] = s
	f.known.Store(&after)
	return s
}

// all gives the series there are.
func (f *family[K, S]) all() map[K]*S { return *f.known.Load() }

// counter is a series of one count.
type counter struct {
	n  atomic.Int64
	as metric.ObserveOption
}

// readCounters reports every series of a family of them.
func readCounters[K comparable](f *family[K, counter]) func(put) {
	return func(p put) {
		for _, c := range f.all() {
			p(c.n.Load(), c.as)
		}
	}
}
