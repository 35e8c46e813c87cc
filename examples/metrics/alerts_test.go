package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"
)

// rules is a file of Prometheus's alerting rules.
type rules struct {
	Groups []struct {
		Name  string
		Rules []rule
	}
}

type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func readRules(t *testing.T) (all []rule) {
	t.Helper()
	text, err := os.ReadFile(alertsFile)
	must(t, err)
	var r rules
	must(t, yaml.Load(text, &r, yaml.WithKnownFields()))
	for _, g := range r.Groups {
		if g.Name == "" {
			t.Error("a group has no name")
		}
		all = append(all, g.Rules...)
	}
	return all
}

func (r rule) pending(t *testing.T) time.Duration {
	t.Helper()
	d, err := model.ParseDuration(r.For)
	if err != nil || d == 0 {
		t.Errorf("%s: for: %q: %v", r.Alert, r.For, err)
	}
	return time.Duration(d)
}

var usedLabel = regexp.MustCompile(`\$labels\.(\w+)`)

// Each rule asks for what exists, waits before it fires, and says how bad it is, what
// happened, and what to do.
func TestAlerts(t *testing.T) {
	scraped := live(t)
	names := map[string]bool{}
	for _, r := range readRules(t) {
		if names[r.Alert] || !regexp.MustCompile(`^Hareline[A-Z]\w+$`).MatchString(r.Alert) {
			t.Errorf("%q is no name of its own", r.Alert)
		}
		names[r.Alert] = true
		expr, err := pql.ParseExpr(r.Expr)
		if err != nil {
			t.Errorf("%s: %v", r.Alert, err)
			continue
		}
		for _, e := range scraped.check(expr) {
			t.Errorf("%s: %s", r.Alert, e)
		}
		r.pending(t)
		if s := r.Labels["severity"]; s != "critical" && s != "warning" && s != "{{ $labels.hareline_alarm_severity }}" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if len(r.Annotations["summary"]) < 30 || len(r.Annotations["description"]) < 100 || len(r.Annotations) != 2 {
			t.Errorf("%s: a summary, and a description that says what to do, please: %v", r.Alert, r.Annotations)
		}
		has := scraped.labelsOf(expr)
		for _, text := range slices.Concat(slices.Collect(maps.Values(r.Labels)), slices.Collect(maps.Values(r.Annotations))) {
			for _, m := range usedLabel.FindAllStringSubmatch(text, -1) {
				if !slices.Contains(has, m[1]) {
					t.Errorf("%s: label %s is none of %v", r.Alert, m[1], has)
				}
			}
			render(t, r, text, map[string]string{}, 1)
		}
	}
}

// render expands a text as Prometheus does.
func render(t *testing.T, r rule, text string, labels map[string]string, value float64) string {
	t.Helper()
	parsed, err := template.New(r.Alert).Option("missingkey=zero").Funcs(template.FuncMap{
		"humanizePercentage": func(v float64) string { return fmt.Sprintf("%.4g%%", v*100) },
		"humanizeDuration":   func(v float64) string { return time.Duration(v * float64(time.Second)).String() },
	}).Parse(`{{ $labels := .Labels }}{{ $value := .Value }}` + text)
	if err != nil {
		t.Errorf("%s: %v", r.Alert, err)
		return ""
	}
	var out strings.Builder
	if err := parsed.Execute(&out, struct {
		Labels map[string]string
		Value  float64
	}{labels, value}); err != nil {
		t.Errorf("%s: %v", r.Alert, err)
	}
	return out.String()
}

// A case is the values of some series, one a minute, as promtool writes them: "1+2x3" is
// 1 3 5 7.
type alertCase struct {
	name   string
	series string   // a line each
	fires  []string // the summaries of what has fired by the end
}

// Each rule fires when it should, and not when it should not.
func TestAlertsFire(t *testing.T) {
	engine := newEngine()
	all := map[string]rule{}
	for _, r := range readRules(t) {
		all[r.Alert] = r
		if len(alertCases[r.Alert]) == 0 {
			t.Errorf("%s: no case", r.Alert)
		}
	}
	for alert, cases := range alertCases {
		for _, c := range cases {
			t.Run(alert+"/"+c.name, func(t *testing.T) {
				r := all[alert]
				var got []string
				for _, f := range firing(t, engine, r, c.series) {
					got = append(got, render(t, r, r.Annotations["summary"], f.labels, f.value)+" ("+render(t, r, r.Labels["severity"], f.labels, f.value)+")")
				}
				slices.Sort(got)
				if !slices.Equal(got, c.fires) {
					t.Errorf("fires\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.fires, "\n"))
				}
			})
		}
	}
}
