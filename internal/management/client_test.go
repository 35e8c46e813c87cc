package management

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "s3cret"

// roundTrip is a transport that is a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answering is a client of an API that answers this, always.
func answering(status int, body string) Client {
	return asking(func(*http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		w.WriteHeader(status)
		_, _ = w.WriteString(body)
		return w.Result(), nil
	})
}

func asking(f roundTrip) Client {
	return Client{URL: "http://user:" + secret + "@broker:15672/", VHost: "/", HTTP: &http.Client{Transport: f}}
}

// wantKind checks the error, and that it holds no secret and names a fix.
func wantKind(t *testing.T, err error, want Kind) {
	t.Helper()
	var failed *Error
	if !errors.As(err, &failed) {
		t.Fatalf("%v, want *Error", err)
	}
	if failed.Kind != want || failed.Fix == "" || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "http://broker:15672/api/") {
		t.Errorf("kind %d, want %d: %v", failed.Kind, want, err)
	}
}

// What RabbitMQ 3.10, 4.0 and 4.3 answer.
func TestQueue(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want func(Queue) bool
	}{
		"fresh": { // without any statistics
			`{"name":"q","type":"quorum","state":"running","members":["a"],"online":["a"]}`,
			func(q Queue) bool { return !q.Messages.Known && !q.Consumers.Known && len(q.Online.List) == 1 },
		},
		"counted": {
			`{"name":"q","type":"quorum","messages":5,"messages_ready":0,"messages_dlx":5,"messages_unacknowledged":0,"consumers":0,` +
				`"message_stats":{"publish":7,"publish_details":{"rate":-0.4}}}`,
			func(q Queue) bool {
				return q.Held == Count{true, 5} && q.Consumers == Count{true, 0} && q.Stats.Publish == Count{true, 7} && !q.Stats.Ack.Known
			},
		},
		"nothing counted yet":      {`{"name":"q","type":"classic","messages":0,"message_stats":[ ]}`, func(q Queue) bool { return !q.Stats.Publish.Known }},
		"undefined":                {`{"name":"q","type":"classic","messages":0,"head_message_timestamp":"","online":null}`, func(q Queue) bool { return !q.HeadTimestamp.Known && !q.Online.Known }},
		"without majority":         {`{"name":"q","type":"quorum","state":"minority","messages":3,"members":["a","b","c"],"online":["a"]}`, func(q Queue) bool { return len(q.Members.List) == 3 }},
		"with fields of a release": {`{"name":"q","type":"quorum","messages":3.0,"messages_by_priority":{"4":3},"consumers":1}`, func(q Queue) bool { return q.Messages.N == 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			q, found, err := answering(200, c.body).Queue(t.Context(), "q")
			if err != nil || !found || !c.want(q) {
				t.Errorf("%+v, %v, %v", q, found, err)
			}
		})
	}
	if _, found, err := answering(404, `{"error":"Object Not Found","reason":"Not Found"}`).Queue(t.Context(), "q"); found || err != nil {
		t.Errorf("a missing queue: %v, %v", found, err)
	}
}

// What is no answer of RabbitMQ is an error, and never a queue that is empty or missing.
func TestQueueNonsense(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   Kind
	}{
		{200, ``, Nonsense}, {200, `<html>please log in</html>`, Nonsense}, {200, `null`, Nonsense}, {200, `[]`, Nonsense}, {200, `{}`, Nonsense},
		{200, `{"name":"other","messages":1}`, Nonsense},
		{200, `{"name":"q","messages":`, Nonsense},
		{200, `{"name":"q","messages":1} and more`, Nonsense},
		{200, `{"name":"q","messages":1}{"name":"q"}`, Nonsense},
		{200, `{"name":"q","messages":-1}`, Nonsense},
		{200, `{"name":"q","messages":"many"}`, Nonsense},
		{200, `{"name":"q","messages":"12"}`, Nonsense},
		{200, `{"name":"q","messages":true}`, Nonsense},
		{200, `{"name":"q","messages":[1]}`, Nonsense},
		{200, `{"name":"q","messages":1.5}`, Nonsense},
		{200, `{"name":"q","messages":1e400}`, Nonsense},
		{200, `{"name":"q","messages":1e300}`, Nonsense},
		{200, `{"name":"q","messages":18446744073709551615}`, Nonsense},
		{200, `{"name":"q","consumers":-3}`, Nonsense},
		{200, `{"name":"q","messages":1,"message_stats":{"publish":-7}}`, Nonsense},
		{200, `{"name":"q","messages":1,"message_stats":"none"}`, Nonsense},
		{200, `{"name":"q","messages":1,"online":"a"}`, Nonsense},
		{200, `{"name":"q","messages":1,"online":[1]}`, Nonsense},
		{200, `{"name":"q","head_message_timestamp":-5}`, Nonsense},
		{200, `{"error":"timeout","reason":"timed out"}`, Nonsense},
		{200, `{"name":"q","messages":0,"error":"timeout"}`, Nonsense},
		{200, `{"name":"q","state":"` + strings.Repeat("x", smallAnswer) + `"}`, Nonsense},
		{404, `<html>no such page</html>`, Nonsense}, {404, ``, Nonsense}, {404, `{"message":"no route"}`, Nonsense},
		{401, `{"error":"not_authorized","reason":"Not_Authorized"}`, Refused}, {403, ``, Refused},
		{500, `{"error":"internal_server_error"}`, Broken}, {503, `<html>`, Broken}, {204, ``, Broken}, {429, ``, Broken},
	} {
		t.Run(fmt.Sprintf("%d %.40s", c.status, c.body), func(t *testing.T) {
			q, found, err := answering(c.status, c.body).Queue(t.Context(), "q")
			if found || q.Name != "" {
				t.Errorf("taken for %+v", q)
			}
			wantKind(t, err, c.want)
		})
	}
}

func TestAlarms(t *testing.T) {
	for body, want := range map[string]int{
		`{"status":"ok"}`: 0,
		`{"status":"failed","reason":"There are alarms in effect in the cluster","alarms":[{"node":"a","resource":"memory"},{"node":"b","resource":"disk"}]}`: 2,
	} {
		status := 200
		if want > 0 {
			status = 503
		}
		if got, err := answering(status, body).Alarms(t.Context()); err != nil || len(got) != want {
			t.Errorf("%s: %v, %v", body, got, err)
		}
	}
	for _, c := range []struct {
		status int
		body   string
		want   Kind
	}{
		{200, `{}`, Nonsense}, {200, `{"status":"failed"}`, Nonsense}, {200, `<html>`, Nonsense},
		{200, `{"status":"ok","alarms":[{"node":"a","resource":"memory"}]}`, Nonsense},
		{503, `<html>no upstream</html>`, Broken}, {503, `{"status":"failed","alarms":[]}`, Broken}, {503, `{"status":"ok"}`, Broken}, {503, ``, Broken},
		{404, `{"error":"Object Not Found","reason":"Not Found"}`, Broken}, {401, ``, Refused},
		{404, `<html>`, Nonsense},
	} {
		got, err := answering(c.status, c.body).Alarms(t.Context())
		if len(got) > 0 {
			t.Errorf("%d %s: %v", c.status, c.body, got)
		}
		wantKind(t, err, c.want)
	}
}

// What 3.10, 4.0 and 4.3 answer with and without rates.
func TestCounts(t *testing.T) {
	for body, want := range map[string]bool{
		`{"rates_mode":"basic","disable_stats":false}`: true,
		`{"rates_mode":"detailed"}`:                    true,
		`{"rates_mode":"none","disable_stats":false}`:  false,
		`{"rates_mode":"basic","disable_stats":true}`:  false,
	} {
		if got, err := answering(200, body).Counts(t.Context()); err != nil || got != want {
			t.Errorf("%s: %v, %v", body, got, err)
		}
	}
	for _, c := range []struct {
		status int
		body   string
		want   Kind
	}{{200, `{}`, Nonsense}, {200, `[]`, Nonsense}, {200, `{"rates_mode":1}`, Nonsense}, {404, ``, Nonsense}, {401, ``, Refused}, {500, ``, Broken}} {
		got, err := answering(c.status, c.body).Counts(t.Context())
		if got {
			t.Errorf("%d %s: %v", c.status, c.body, got)
		}
		wantKind(t, err, c.want)
	}
}

func TestGetReadsIntoAnything(t *testing.T) {
	var out []map[string]any
	if found, err := answering(200, `[{"a":12345678901234567}]`).Get(t.Context(), &out, "bindings", "a/b"); err != nil || !found || fmt.Sprint(out[0]["a"]) != "12345678901234567" {
		t.Errorf("%v, %v, %v", out, found, err)
	}
}

func TestRequest(t *testing.T) {
	asked := ""
	c := asking(func(r *http.Request) (*http.Response, error) {
		user, password, _ := r.BasicAuth()
		asked = r.Method + " " + r.URL.EscapedPath() + " " + user + ":" + password
		return nil, errors.New("enough")
	})
	c.URL, c.VHost = "https://us%40er:p%2Fw@broker/prefix/", "a/b"
	_, _, err := c.Queue(t.Context(), "q #1")
	if asked != "GET /prefix/api/queues/a%2Fb/q%20%231 us@er:p/w" {
		t.Errorf("asked %s", asked)
	}
	if err == nil || strings.Contains(err.Error(), "p/w") || strings.Contains(err.Error(), "p%2Fw") {
		t.Error(err)
	}
}

func TestNoAnswer(t *testing.T) {
	_, _, err := asking(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }).Queue(t.Context(), "q")
	wantKind(t, err, Unreachable)

	cut := func(*http.Request) (*http.Response, error) {
		body := io.MultiReader(strings.NewReader(`{"name":"q"}`), brokenReader{})
		return &http.Response{StatusCode: 200, Body: io.NopCloser(body)}, nil
	}
	_, _, err = asking(cut).Queue(t.Context(), "q") // the part that came would do
	wantKind(t, err, Unreachable)

	endless := func(*http.Request) (*http.Response, error) {
		body := io.MultiReader(strings.NewReader(`{"name":"q","messages":0}`), endlessReader{})
		return &http.Response{StatusCode: 200, Body: io.NopCloser(body)}, nil
	}
	_, _, err = asking(endless).Queue(t.Context(), "q")
	wantKind(t, err, Nonsense)

	synctest.Test(t, func(t *testing.T) {
		hang := asking(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := hang.Queue(ctx, "q")
		wantKind(t, err, Slow)
		hang.HTTP.Timeout = time.Second // the user's own
		_, _, err = hang.Queue(t.Context(), "q")
		wantKind(t, err, Slow)
	})
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type endlessReader struct{}

func (endlessReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestValidate(t *testing.T) {
	for _, u := range []string{"", "broker:15672", "ftp://a:b@c", "http://broker:15672", "http://a:" + secret + "@broker:port", "http://a:" + secret + "%zz@b", "http://a:b@c:15672/#/queues", "http://a:b@c?x=1"} {
		if err := (Client{URL: u}).Validate(); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", u, err)
		}
	}
	if err := (Client{URL: "http://a:b@c:15672"}).Validate(); err != nil {
		t.Error(err)
	}
}
