package story_test

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"github.com/hareline/hareline/story"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// golden is one case of testdata/v*.json. A header is a table of one entry, its
// AMQP type and value.
type golden struct {
	Name    string
	Headers map[string]map[string]any
	Story   story.Story
}

func (g golden) table(t *testing.T) amqp.Table {
	h := amqp.Table{}
	for name, typed := range g.Headers {
		for kind, v := range typed {
			switch v := v.(type) {
			case string:
				h[name] = v
			case float64:
				h[name] = int64(v)
			case []any:
				h[name] = v
			default:
				t.Fatalf("%s: %s is a %T", name, kind, v)
			}
		}
	}
	return h
}

// Every release reads what every earlier one wrote, and writes version 1 as it
// is laid down here. A changed file is a broken promise; a new version is a new
// file.
func TestGoldenFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/v*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("golden files: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var cases []golden
		if err := json.Unmarshal(text, &cases); err != nil {
			t.Fatal(err)
		}
		for _, tc := range cases {
			t.Run(filepath.Base(file)+" "+tc.Name, func(t *testing.T) {
				headers := tc.table(t)
				got, err := story.Read(headers)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, tc.Story) {
					t.Errorf("read\n%+v, want\n%+v", got, tc.Story)
				}
				if filepath.Base(file) == "v1.json" && !reflect.DeepEqual(tc.Story.Table(), headers) {
					t.Errorf("written\n%v, want\n%v", tc.Story.Table(), headers)
				}
			})
		}
	}
}

func TestReadIsTolerant(t *testing.T) {
	for _, v := range []any{5, int8(5), int16(5), int32(5), int64(5), uint8(5), uint16(5), uint32(5), "5", " 5 ", []byte("5")} {
		s, err := story.Read(amqp.Table{story.HeaderRetryCount: v})
		if err != nil || s.RetryCount != 5 {
			t.Errorf("%T %v: %d, %v", v, v, s.RetryCount, err)
		}
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, v := range []any{at, at.In(time.FixedZone("x", 3600)), at.UnixMilli(), "2026-01-02T03:04:05Z", "2026-01-02T04:04:05+01:00"} {
		s, err := story.Read(amqp.Table{story.HeaderDeadAt: v})
		if err != nil || !s.DeadAt.Equal(at) {
			t.Errorf("%T %v: %v, %v", v, v, s.DeadAt, err)
		}
	}
	for _, h := range []amqp.Table{nil, {}, {"x-death": "nonsense"}, {story.HeaderOriginKey: []byte("k")}} {
		if _, err := story.Read(h); err != nil {
			t.Errorf("%v: %v", h, err)
		}
	}
}

func TestReadRefusesNonsense(t *testing.T) {
	for _, tc := range []struct {
		header string
		value  any
	}{
		{story.HeaderRetryCount, int64(-5)},
		{story.HeaderRetryCount, "-1"},
		{story.HeaderRetryCount, int64(math.MaxInt64)},
		{story.HeaderRetryCount, story.MaxCount + 1},
		{story.HeaderRetryCount, "many"},
		{story.HeaderRetryCount, 1.5},
		{story.HeaderRetryCount, true},
		{story.HeaderRetryCount, nil},
		{story.HeaderRetryCount, amqp.Table{}},
		{story.HeaderReplayCount, int32(-1)},
		{story.HeaderOriginPriority, 256},
		{story.HeaderOriginQueue, 7},
		{story.HeaderOriginQueue, strings.Repeat("q", 256)},
		{story.HeaderLastError, amqp.Table{}},
		{story.HeaderDeadAt, "yesterday"},
		{story.HeaderDeadAt, int64(math.MaxInt64)},
		{story.HeaderDeadAt, int64(-1)},
		{story.HeaderFirstFailedAt, false},
		{story.HeaderDroppedHeaders, "a,b"},
		{story.HeaderDroppedHeaders, []any{"a", 1}},
		{story.HeaderVersion, story.Version + 1},
		{story.HeaderVersion, "one"},
	} {
		h := amqp.Table{story.HeaderErrorClass: "kept", tc.header: tc.value}
		s, err := story.Read(h)
		var malformed *story.MalformedError
		if !errors.As(err, &malformed) || malformed.Header != tc.header || !malformed.Malformed() {
			t.Errorf("%s = %T %v: error %v", tc.header, tc.value, tc.value, err)
			continue
		}
		if !strings.Contains(err.Error(), tc.header) || len(err.Error()) > 400 {
			t.Errorf("text: %v", err)
		}
		if s.ErrorClass != "kept" {
			t.Errorf("%s: what can be read was not", tc.header)
		}
	}
}

// names are what the broker takes; texts are anything at all.
func drawStory(t *rapid.T) story.Story {
	name := rapid.StringN(0, -1, 255)
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		ms := rapid.Int64Range(0, 253402300799000).Draw(t, "ms")
		if ms == 0 {
			return time.Time{}
		}
		return time.UnixMilli(ms).UTC()
	})
	count := rapid.IntRange(0, story.MaxCount)
	return story.Story{
		RetryCount: count.Draw(t, "count"), RetryMax: count.Draw(t, "max"),
		FirstFailedAt: moment.Draw(t, "first"), LastError: rapid.String().Draw(t, "error"),
		ErrorClass: rapid.StringN(0, -1, 64).Draw(t, "class"), OriginExchange: name.Draw(t, "exchange"),
		OriginKey: name.Draw(t, "key"), OriginQueue: name.Draw(t, "queue"),
		OriginPriority: rapid.Uint8().Draw(t, "priority"), OriginUserID: name.Draw(t, "user"),
		ExpiresAt: moment.Draw(t, "expires"), DeadReason: rapid.SampledFrom([]string{"", story.ReasonElapsed}).Draw(t, "reason"),
		DeadAt: moment.Draw(t, "dead"), ReplayID: rapid.StringMatching(`[0-9a-f]{0,24}`).Draw(t, "id"),
		ReplayCount: count.Draw(t, "replays"),
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawStory(t)
		h := amqp.Table{"foreign": "x", story.HeaderDeadReason: "old", story.Prefix + "of-a-later-version": 1}
		want.Write(h)
		got, err := story.Read(h)
		if err != nil {
			t.Fatal(err)
		}
		want.LastError = strings.ReplaceAll(want.LastError, "\x00", "\uFFFD")
		want.ErrorClass = strings.ReplaceAll(want.ErrorClass, "\x00", "\uFFFD")
		if len(want.LastError) > 2048 {
			want.LastError = got.LastError
		}
		if len(want.ErrorClass) > 256 {
			want.ErrorClass = got.ErrorClass
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("read\n%+v, want\n%+v", got, want)
		}
		story.Strip(h)
		if !maps.Equal(h, amqp.Table{"foreign": "x"}) {
			t.Fatalf("Strip left %v", h)
		}
	})
}

func TestTextsAreFitForHeaders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		text = strings.Repeat(text, rapid.IntRange(1, 400).Draw(t, "times"))
		v, ok := story.Story{LastError: text}.Table()[story.HeaderLastError].(string)
		if ok != (text != "") {
			t.Fatalf("written: %v, for %d bytes", ok, len(text))
		}
		if len(v) > 2048 || !utf8.ValidString(v) || strings.Contains(v, "\x00") {
			t.Fatalf("%d bytes, valid %v, %q", len(v), utf8.ValidString(v), v)
		}
		if len(text) <= 600 && utf8.ValidString(text) && !strings.Contains(text, "\x00") && v != text {
			t.Fatalf("%q became %q", text, v)
		}
	})
}

func TestWriteNeverWritesWhatReadRefuses(t *testing.T) {
	s := story.Story{
		RetryCount: -1, RetryMax: math.MaxInt, ReplayCount: story.MaxCount + 1,
		DeadAt: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC), FirstFailedAt: time.Unix(-1, 0),
		OriginKey: strings.Repeat("k", 300),
	}
	if _, err := story.Read(s.Table()); err != nil {
		t.Error(err)
	}
}

func TestOf(t *testing.T) {
	first := amqp.Delivery{Exchange: "events", RoutingKey: "a.b", Priority: 3, UserId: "u", Expiration: "60000"}
	s, err := story.Of(first, "orders", now)
	want := story.Story{
		OriginExchange: "events", OriginKey: "a.b", OriginQueue: "orders", OriginPriority: 3, OriginUserID: "u",
		ExpiresAt: now.Add(time.Minute),
	}
	if err != nil || !reflect.DeepEqual(s, want) {
		t.Fatalf("first delivery: %+v, %v", s, err)
	}

	s.RetryCount = 2
	back := amqp.Delivery{Exchange: "due", RoutingKey: "0.1.orders", Headers: s.Table(), Expiration: "5"}
	again, err := story.Of(back, "orders", now.Add(time.Hour))
	if err != nil || !reflect.DeepEqual(again, s) {
		t.Errorf("second delivery: %+v, %v, want the story as it was", again, err)
	}
	if !again.Restore(&back, "orders") || back.Exchange != "events" || back.RoutingKey != "a.b" || back.Priority != 3 {
		t.Errorf("not restored: %+v", back)
	}
	if again.Restore(&back, "invoices") || (story.Story{}).Restore(&back, "") {
		t.Error("restored by a story of another queue")
	}

	forwarded := amqp.Delivery{Exchange: "other", RoutingKey: "k", Headers: s.Table()}
	other, err := story.Of(forwarded, "invoices", now)
	if err != nil || other.RetryCount != 0 || other.OriginQueue != "invoices" || other.OriginExchange != "other" {
		t.Errorf("forwarded to another queue: %+v, %v", other, err)
	}

	s.DeadReason, s.DeadAt = story.ReasonExhausted, now
	moved, err := story.Of(amqp.Delivery{Headers: s.Table()}, "orders", now)
	if err != nil || moved.RetryCount != 0 || moved.DeadReason != "" || moved.OriginKey != "a.b" {
		t.Errorf("moved back by hand: %+v, %v", moved, err)
	}

	broken := amqp.Delivery{RoutingKey: "k", Headers: amqp.Table{story.HeaderRetryCount: -5, story.HeaderOriginQueue: "orders"}}
	fresh, err := story.Of(broken, "orders", now)
	if err == nil || fresh.OriginQueue != "orders" || fresh.OriginKey != "k" || fresh.RetryCount != 0 {
		t.Errorf("broken: %+v, %v", fresh, err)
	}
	for _, bad := range []string{"", "-1", "1.5", "5s", "99999999999999999999"} {
		s, _ := story.Of(amqp.Delivery{Expiration: bad}, "orders", now)
		if !s.ExpiresAt.IsZero() {
			t.Errorf("expiration %q: %v", bad, s.ExpiresAt)
		}
	}
}

func TestAlive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawStory(t)
		a := s.Alive()
		if a.RetryCount != 0 || a.DeadReason != "" || !a.DeadAt.IsZero() || !a.ExpiresAt.IsZero() || !a.FirstFailedAt.IsZero() || a.LastError != "" {
			t.Fatalf("still dead: %+v", a)
		}
		if a.OriginQueue != s.OriginQueue || a.OriginKey != s.OriginKey || a.ReplayCount != s.ReplayCount {
			t.Fatalf("lost its origin: %+v", a)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(story.HeaderRetryCount, "5", int64(5), 1.0, uint8(0))
	f.Add(story.HeaderDeadAt, "2026-01-02T03:04:05Z", int64(-1), 0.0, uint8(1))
	f.Add(story.HeaderDroppedHeaders, "a", int64(1)<<62, 0.5, uint8(3))
	f.Fuzz(func(t *testing.T, name, text string, n int64, x float64, kind uint8) {
		values := []any{text, []byte(text), n, []any{text, n}, x, time.Unix(n, 0), amqp.Table{text: n}, nil, n < 0}
		h := amqp.Table{name: values[int(kind)%len(values)]}
		s, err := story.Read(h)
		var malformed *story.MalformedError
		if err != nil && !errors.As(err, &malformed) {
			t.Fatalf("untyped: %v", err)
		}
		if s.RetryCount < 0 || s.ReplayCount < 0 || s.RetryCount > story.MaxCount {
			t.Fatalf("%v: counts %d, %d", h, s.RetryCount, s.ReplayCount)
		}
		if _, err := story.Read(s.Table()); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}
