package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// write writes what a scrape gives: the value of each series that is not zero, of a
// histogram how often it was measured.
func write(out io.Writer, registry prometheus.Gatherer) error {
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	for _, f := range families {
		name, all := f.GetName(), f.GetMetric()
		if name == "target_info" {
			continue
		}
		if f.GetType() == dto.MetricType_HISTOGRAM {
			name += "_count"
		}
		for _, m := range all {
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if value == 0 {
				continue
			}
			if _, err := fmt.Fprintf(out, "%s{%s} %v\n", name, withLabels(m), value); err != nil {
				return err
			}
		}
	}
	return nil
}

func withLabels(m *dto.Metric) string {
	var all []string
	for _, l := range m.GetLabel() {
		all = append(all, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}
