package scenario

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hareline/hareline/internal/wire"
)

func TestConfirmsAreSortedAndReturnsStay(t *testing.T) {
	got := inOrder([]shown{
		{tags: []uint64{3}, acked: true}, {lines: []string{"basic.return"}}, {tags: []uint64{1, 2}, acked: true},
		{tags: []uint64{4}},
	})
	if want := []string{"basic.return", "basic.ack 1 2 3", "basic.nack 4"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	got = inOrder([]shown{{lines: []string{"basic.return"}}, {tags: []uint64{1}, acked: true}, {lines: []string{"other"}}})
	if want := []string{"basic.return", "basic.ack 1", "other"}; !slices.Equal(got, want) {
		t.Errorf("a lone confirm: got %q, want %q", got, want)
	}
}

func TestConfirmsAreExpanded(t *testing.T) {
	ch := &channel{unconfirmed: []uint64{1, 2, 3, 5}}
	tags, acked := confirmed(ch, &wire.BasicAck{DeliveryTag: 3, Multiple: true})
	if !acked || !slices.Equal(tags, []uint64{1, 2, 3}) || !slices.Equal(ch.unconfirmed, []uint64{5}) {
		t.Errorf("got %v, %v, left %v", tags, acked, ch.unconfirmed)
	}
	tags, acked = confirmed(ch, &wire.BasicNack{Multiple: true})
	if acked || !slices.Equal(tags, []uint64{5}) {
		t.Errorf("zero is all: got %v, %v", tags, acked)
	}
}

func TestMadeUpNamesAreNumbered(t *testing.T) {
	tr := newTranscript(Target{VHost: "vhost-1", User: "maker", Password: "pw"})
	const gen, tag = "amq.gen-abcdefghijklmnopqrstuv", "amq.ctag-ABCDEFGHIJKLMNOPQRSTUV"
	const asker = "amq.rabbitmq.reply-to.g1h2AA5y+/ZXBseQ==.AbC=="
	if got, want := tr.clean("key='"+asker+"' of amq.rabbitmq.reply-to"), "key='<reply-to-1>' of amq.rabbitmq.reply-to"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got := tr.clean("queue '" + gen + "' of " + tag + " in 'vhost-1' for 'maker'\nnext")
	if want := `queue '<gen-1>' of <ctag-1> in '<vhost>' for '<user>'\nnext`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, real := range map[string]string{"<gen-1>": gen, "<ctag-1>": tag, "<vhost>": "vhost-1", "other": "other"} {
		if got := tr.resolve(name); got != real {
			t.Errorf("%s: got %q, want %q", name, got, real)
		}
	}
}

func TestHeadersAreFlatAndSorted(t *testing.T) {
	got := flatten("", wire.Table{
		{Key: "x-death", Value: []any{wire.Table{{Key: "time", Value: time.Unix(5, 0)}, {Key: "count", Value: int64(1)}}}},
		{Key: "a", Value: wire.Table{}}, {Key: "b", Value: []any{}}, {Key: "t", Value: time.Unix(5, 0)},
	})
	want := []string{"a={}", "b=[]", "t=time:5", "x-death[0].count=long:1", "x-death[0].time=time:<time>"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDiffShowsTheStep(t *testing.T) {
	if got := Diff("> a\n  1\n", "> a\n  1\n"); got != "" {
		t.Errorf("equal: %q", got)
	}
	got := Diff("> a\n  1\n> b\n  2\n  3\n", "> a\n  1\n> b\n  2\n  4\n")
	for _, want := range []string{"    > b\n", "  -   3\n", "  +   4\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "> a") {
		t.Errorf("more than the step:\n%s", got)
	}
}

func TestRecordedSurvivesSaveAndLoad(t *testing.T) {
	folder := t.TempDir()
	scripts := []*Script{{File: "f", Name: "one"}, {File: "f", Name: "two"}, {File: "g", Name: "three"}}
	r := Recorded{}
	for _, s := range scripts {
		r.Set(s, "> "+s.Name+"\n  answer\n")
	}
	r.Set(&Script{File: "f", Name: "gone"}, "> old\n")
	if err := r.Save(folder, scripts); err != nil {
		t.Fatal(err)
	}
	back, err := LoadRecorded(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scripts {
		if got, ok := back.Of(s); !ok || got != "> "+s.Name+"\n  answer\n" {
			t.Errorf("%s: got %q, %v", s.Name, got, ok)
		}
	}
	if _, ok := back.Of(&Script{File: "f", Name: "gone"}); ok {
		t.Error("a transcript without a script was kept")
	}
}
