package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/hareline/hareline/consumer"
)

const (
	dashboardFile = "../../docs/grafana/hareline.json"
	alertsFile    = "../../docs/prometheus/alerts.yml"
)

var pql = parser.NewParser(parser.Options{})

// states are the values that labels may have beside those that were scraped.
var states = map[string][]string{
	"hareline_state": {
		string(consumer.Consuming), string(consumer.Disconnected), string(consumer.Paused),
		string(consumer.HeldAside), string(consumer.Panicking), string(consumer.Stopped),
	},
	"hareline_finding": {string(consumer.Forgotten), string(consumer.Stuck), string(consumer.Unsettled)},
}

// check tells what is wrong with an expression: metrics, labels and values of labels
// that do not exist.
func (s *scraped) check(expr parser.Expr) (errs []string) {
	for _, selector := range parser.ExtractSelectors(expr) {
		name, err := metricOf(selector)
		if err != nil {
			errs = append(errs, err.Error())
			continue
		}
		known, ok := s.series[name]
		if !ok {
			errs = append(errs, fmt.Sprintf("no metric %s is exposed", name))
			continue
		}
		for _, m := range selector {
			if m.Name == model.MetricNameLabel {
				continue
			}
			values, ok := known[m.Name]
			if !ok {
				errs = append(errs, fmt.Sprintf("%s has no label %s, only %v", name, m.Name, slices.Sorted(maps.Keys(known))))
				continue
			}
			for _, v := range alternatives(m) {
				if !values[v] && !slices.Contains(states[m.Name], v) {
					errs = append(errs, fmt.Sprintf("label %s of %s is never %q", m.Name, name, v))
				}
			}
		}
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok {
			below := s.labelsOf(a.Expr)
			for _, l := range a.Grouping {
				if !slices.Contains(below, l) {
					errs = append(errs, fmt.Sprintf("by %s: %s has only %v", l, a.Expr, below))
				}
			}
		}
		return nil
	})
	return errs
}

func metricOf(selector []*labels.Matcher) (string, error) {
	for _, m := range selector {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value, nil
		}
	}
	return "", fmt.Errorf("%v names no metric", selector)
}

// alternatives are the values that a matcher asks for.
func alternatives(m *labels.Matcher) []string {
	if m.Value == "" || strings.HasPrefix(m.Value, "$") { // a variable of the dashboard
		return nil
	}
	if m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp {
		return strings.Split(m.Value, "|")
	}
	return []string{m.Value}
}

// labelsOf are the labels that the result of an expression may have.
func (s *scraped) labelsOf(expr parser.Expr) []string {
	switch e := expr.(type) {
	case *parser.AggregateExpr:
		return e.Grouping
	case *parser.BinaryExpr:
		return s.labelsOf(e.LHS)
	case *parser.ParenExpr:
		return s.labelsOf(e.Expr)
	case *parser.MatrixSelector:
		return s.labelsOf(e.VectorSelector)
	case *parser.VectorSelector:
		return slices.Sorted(maps.Keys(s.series[e.Name]))
	case *parser.Call:
		all := s.labelsOf(e.Args[len(e.Args)-1])
		if e.Func.Name == "histogram_quantile" {
			all = slices.DeleteFunc(slices.Clone(all), func(l string) bool { return l == "le" })
		}
		return all
	}
	return nil
}

type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ H, W, X, Y int }
	Datasource               struct{ Type, UID string }
	Targets                  []struct{ RefID, Expr, LegendFormat string }
}

// interval stands for what Grafana puts in.
var interval = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h")

var inLegend = regexp.MustCompile(`{{([^}]*)}}`)

// Each panel asks for metrics, labels and values that exist, and each metric has a panel.
func TestDashboard(t *testing.T) {
	scraped := live(t)
	text, err := os.ReadFile(dashboardFile)
	must(t, err)
	var d dashboard
	must(t, json.Unmarshal(text, &d))
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 39 {
		t.Errorf("%q, %q, schema %d", d.UID, d.Title, d.SchemaVersion)
	}
	shown := map[string]bool{}
	for _, p := range d.Panels {
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %d %q: a title, a description, targets and the datasource variable, please", p.ID, p.Title)
		}
		for _, target := range p.Targets {
			expr, err := pql.ParseExpr(interval.Replace(target.Expr))
			if err != nil {
				t.Errorf("panel %q: %s: %v", p.Title, target.Expr, err)
				continue
			}
			for _, e := range scraped.check(expr) {
				t.Errorf("panel %q: %s", p.Title, e)
			}
			has := scraped.labelsOf(expr)
			for _, m := range inLegend.FindAllStringSubmatch(target.LegendFormat, -1) {
				if !slices.Contains(has, m[1]) {
					t.Errorf("panel %q: the legend's label %s is none of %v", p.Title, m[1], has)
				}
			}
			for _, selector := range parser.ExtractSelectors(expr) {
				name, _ := metricOf(selector)
				shown[base(name)] = true
			}
		}
	}
	for name := range scraped.series {
		if !shown[base(name)] && name != "target_info" {
			t.Errorf("no panel shows %s", name)
		}
	}
	checkLayout(t, d.Panels)
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			checkVariable(t, scraped, v.Definition)
		}
	}
}

// base is the metric that the three names of a histogram belong to.
func base(name string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}

func checkLayout(t *testing.T, panels []panel) {
	t.Helper()
	ids := map[int]bool{}
	var taken [24]map[int]string
	for _, p := range panels {
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("panel %q: id %d is not its own", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > len(taken) {
			t.Fatalf("panel %q is beyond the right edge", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if taken[x] == nil {
					taken[x] = map[int]string{}
				}
				if before, ok := taken[x][y]; ok {
					t.Fatalf("panel %q is over panel %q", p.Title, before)
				}
				taken[x][y] = p.Title
			}
		}
	}
}

var labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)

// checkVariable looks into label_values(selector, label), which is Grafana's own.
func checkVariable(t *testing.T, s *scraped, definition string) {
	t.Helper()
	m := labelValues.FindStringSubmatch(definition)
	if m == nil {
		t.Errorf("variable: %q", definition)
		return
	}
	selector, err := pql.ParseMetricSelector(m[1])
	if err != nil {
		t.Errorf("variable: %q: %v", definition, err)
		return
	}
	for _, name := range selector {
		if name.Name != model.MetricNameLabel {
			continue
		}
		for _, metric := range alternatives(name) {
			if s.series[metric] == nil || s.series[metric][m[2]] == nil {
				t.Errorf("variable: %q: no %s with label %s", definition, metric, m[2])
			}
		}
	}
}
