package topologyfile

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/topology"
)

func TestReadsWhatAFileSays(t *testing.T) {
	f, err := Read("testdata/whole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := []topology.Queue{
		{Name: "unroutable", DeliveryLimit: topology.Unlimited},
		{Name: "audit", DeadLetterExchange: topology.DefaultExchange, DeadLetterKey: "dead", DeadLetterStrategy: topology.AtMostOnce,
			Overflow: topology.DropHead, MaxLength: 1000, TTL: 36 * time.Hour, Expires: 720 * time.Hour,
			InitialGroupSize: 3, Arguments: amqp.Table{"x-max-in-memory-length": int64(3)},
			Unchecked: amqp.Table{"x-of-a-plugin": []any{int64(1), 2.5, "text"}}},
		{Name: "session", Type: topology.Classic, Transient: true, Exclusive: true, AutoDelete: true},
		{Name: "clicks", Type: topology.Stream, MaxAge: 720 * time.Hour, MaxBytes: 1e10, SegmentBytes: 1e8, LeaderLocator: topology.Balanced},
		{Name: "theirs", External: true, DeliveryLimit: topology.Unlimited},
	}
	if !reflect.DeepEqual(f.Queues, want) {
		t.Errorf("queues are %+v", f.Queues)
	}
	invoices := f.WorkQueues[1]
	if invoices.MaxBytes != 64<<20 || invoices.Ladder != (topology.Ladder{Scope: "invoices", Levels: 20}) || !invoices.SingleActive {
		t.Errorf("invoices are %+v", invoices)
	}
	work, err := f.Work("invoices")
	if err != nil || work.Queue != "invoices" || work.DeadLetterQueue != "dead" {
		t.Errorf("Work gave %+v, %v", work, err)
	}
	if _, err = f.Work("invoice"); err == nil || !strings.Contains(err.Error(), `did you mean "invoices"?; it has orders, invoices, mails`) {
		t.Errorf("Work gave %v", err)
	}
	if err := f.Topology().Validate(); err != nil {
		t.Error(err)
	}
	for _, w := range f.WorkQueues {
		if !slices.ContainsFunc(f.Topology().Queues, func(q topology.Queue) bool { return q.Name == w.Name }) {
			t.Errorf("%s is not in the topology", w.Name)
		}
	}
}

// TestBothLanguagesSayTheSame: a file rewritten in the other language is the same.
func TestBothLanguagesSayTheSame(t *testing.T) {
	f, err := Read("testdata/whole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	data, err := f.JSON()
	if err != nil {
		t.Fatal(err)
	}
	g, err := Parse("whole.JSON", data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(f, g) {
		t.Errorf("YAML said %+v\nJSON says %+v", f, g)
	}
}

func TestJSONKnowsSurrogatesAndItsSchema(t *testing.T) {
	f, err := Parse("f.json", []byte(`{"$schema": "x", "queues": [{"name": "\ud83d\ude00\/"}]}`))
	if err != nil || f.Queues[0].Name != "😀/" {
		t.Errorf("read %+v, %v", f, err)
	}
}

func TestReadOfNoFile(t *testing.T) {
	_, err := Read(filepath.Join(t.TempDir(), "none.yaml"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Read gave %v", err)
	}
}

func TestWhatNoFileCanSay(t *testing.T) {
	for name, c := range map[string]struct {
		f    File
		want string
	}{
		"name":     {File{Queues: []topology.Queue{{Name: "\xff"}}}, `queues[0].name: "\xff" is not valid UTF-8`},
		"argument": {File{Queues: []topology.Queue{{Name: "q", Arguments: amqp.Table{"x": amqp.Decimal{}}}}}, `queues[0].arguments.x: a file cannot say a amqp091.Decimal`},
		"nested":   {File{Bindings: []topology.Binding{{Arguments: amqp.Table{"x": []any{struct{}{}}}}}}, `bindings[0].arguments.x[0]: a file cannot say`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, write := range []func(File) ([]byte, error){File.YAML, File.JSON} {
				if _, err := write(c.f); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	times := File{Queues: []topology.Queue{{Name: "q", Arguments: amqp.Table{"at": time.Unix(1e9, 0).UTC(), "raw": []byte{0, 255}}}}}
	data, err := times.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, "f.yaml", data); !reflect.DeepEqual(got, times) {
		t.Errorf("wrote %+v, read %+v\n%s", times, got, data)
	}
	if _, err := times.JSON(); err == nil || !strings.Contains(err.Error(), "write YAML") {
		t.Errorf("got %v", err)
	}
}

func TestDurationsAndSizes(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"300ms": 300 * time.Millisecond, "1d": 24 * time.Hour, "1d12h": 36 * time.Hour, "1d0s": 24 * time.Hour,
		"1h30m": 90 * time.Minute, "-2d1h": -49 * time.Hour, "0": 0, "0d": 0, "1.5h": 90 * time.Minute, "106751d": 106751 * 24 * time.Hour,
	} {
		if got, err := parseDuration(text); got != want || err != nil {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "d", "1.5d", "1d-1h", "1d+1h", "1d1d", "--1d", "106752d", "99999999999d", "5 m"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	for d, want := range map[time.Duration]string{5 * time.Minute: "5m", time.Hour: "1h", 49 * time.Hour: "2d1h", 10 * time.Second: "10s", 0: "0s", time.Hour + time.Second: "1h0m1s"} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
	for text, want := range map[string]int64{"5B": 5, "1kB": 1000, "1KB": 1000, "1KiB": 1024, "64MiB": 64 << 20, "2 GB": 2e9, "1TiB": 1 << 40, "-1KiB": -1024} {
		if got, err := parseSize(text); got != want || err != nil {
			t.Errorf("%s is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "B", "1.5GB", "1gb", "1 M", "8388608TiB", "5"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestSnake(t *testing.T) {
	for from, want := range map[string]string{"TTL": "ttl", "MaxBytes": "max_bytes", "DeadLetterTTL": "dead_letter_ttl", "TTLMax": "ttl_max",
		"max-length": "max_length", "SegmentBytes": "segment_bytes", "Retry2Max": "retry2_max", "x": "x", "": ""} {
		if got := snake(from); got != want {
			t.Errorf("%s is %s, want %s", from, got, want)
		}
	}
}

// FuzzParse: nothing that is read panics, takes for ever, or reads as something that
// cannot be written and read back.
func FuzzParse(f *testing.F) {
	for _, path := range []string{"testdata/whole.yaml", "../../examples/topologyfile/topology.yaml"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("f.yaml", string(data))
	}
	f.Add("f.json", `{"queues": [{"name": "q", "ttl": "5m", "arguments": {"x": [1, 2.5, null, {"a": true}]}}]}`)
	f.Add("f.yaml", "queues: [{name: q, arguments: &a {<<: *a, b: *a}}]")
	f.Fuzz(func(t *testing.T, name, text string) {
		root, problem := load(name, []byte(text))
		if problem != nil {
			return
		}
		d := decoder{places: make(map[string]place)}
		file := d.file(root)
		if len(d.problems) > 0 {
			return
		}
		data, err := file.YAML()
		if err != nil {
			t.Fatalf("read, but cannot be written: %v", err)
		}
		again, err := file.YAML()
		if err != nil || string(again) != string(data) {
			t.Fatalf("written twice, differently: %v", err)
		}
		if back := read(t, "f.yaml", data); !reflect.DeepEqual(back, file) && !strings.Contains(string(data), ".nan") {
			t.Fatalf("read %+v\nthen %+v\n%s", file, back, data)
		}
	})
}
