package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// fired is one alert that fires.
type fired struct {
	labels map[string]string
	value  float64
}

func newEngine() *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: pql})
}

// firing evaluates a rule once a minute, as Prometheus does, and gives what fires in the
// end: what has been there at every evaluation for as long as the rule waits.
func firing(t *testing.T, engine *promql.Engine, r rule, series string) (all []fired) {
	t.Helper()
	store, minutes := storeOf(t, series)
	since := map[string]int{}
	for now := range minutes {
		at := time.Unix(0, 0).Add(time.Duration(now) * time.Minute)
		query, err := engine.NewInstantQuery(context.Background(), store, nil, r.Expr, at)
		must(t, err)
		result := query.Exec(context.Background())
		must(t, result.Err)
		vector, err := result.Vector()
		must(t, err)
		there := map[string]int{}
		all = nil
		for _, sample := range vector {
			key := sample.Metric.String()
			there[key] = now
			if before, ok := since[key]; ok {
				there[key] = before
			}
			if time.Duration(now-there[key])*time.Minute >= r.pending(t) {
				all = append(all, fired{sample.Metric.Map(), sample.F})
			}
		}
		since = there
		query.Close()
	}
	return all
}

// sample is a float at a time.
type sample struct {
	ms int64
	v  float64
}

func (s sample) ST() int64                     { return 0 }
func (s sample) T() int64                      { return s.ms }
func (s sample) F() float64                    { return s.v }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// storeOf keeps the series that are described, one value a minute, and tells for how
// many minutes there are values.
func storeOf(t *testing.T, described string) (store storage.Queryable, minutes int) {
	t.Helper()
	var series []*storage.SeriesEntry
	for line := range strings.Lines(described) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		as, values, err := pql.ParseSeriesDesc(strings.TrimSpace(line))
		must(t, err)
		var samples []chunks.Sample
		for i, v := range values {
			if !v.Omitted {
				samples = append(samples, sample{int64(i) * time.Minute.Milliseconds(), v.Value})
			}
		}
		minutes = max(minutes, len(values))
		series = append(series, storage.NewListSeries(as, samples))
	}
	return &storage.MockQueryable{MockQuerier: &storage.MockQuerier{
		SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
			found := &found{at: -1}
			for _, s := range series {
				if matches(s.Labels(), matchers) {
					found.all = append(found.all, s)
				}
			}
			return found
		},
	}}, minutes
}

func matches(as labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(as.Get(m.Name)) {
			return false
		}
	}
	return true
}

// found is a storage.SeriesSet.
type found struct {
	all []*storage.SeriesEntry
	at  int
}

func (f *found) Next() bool         { f.at++; return f.at < len(f.all) }
func (f *found) At() storage.Series { return f.all[f.at] }
func (f *found) Err() error         { return nil }

// Warnings are none.
func (f *found) Warnings() annotations.Annotations { return nil }
