package amqptest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// recordedCall is a request to a real RabbitMQ, and its answer.
type recordedCall struct {
	Name, Method, Path, Body, Location string
	Status                             int
	Reply                              any
	Shape                              map[string]string
}

// notServed are requests whose answer differs on purpose.
var notServed = map[string]string{
	"conns-early":                   "RabbitMQ lists connections only after some seconds",
	"connections-soon":              "RabbitMQ lists connections only after some seconds",
	"put-policy":                    "there are no policies",
	"policies":                      "there are no policies",
	"get-feature-flags":             "there are no feature flags",
	"get-deprecated-features":       "there are no feature flags",
	"root":                          "there are no pages for people",
	"api":                           "there are no pages for people",
	"put-perm-bad":                  "the words of another library of regular expressions",
	"get-queues-page=9-page_size=3": "the aliveness test leaves no queue behind",
}

// otherPorts are checks of listeners, whose lists are this broker's own.
func otherPorts(name string) bool {
	return strings.Contains(name, "port-listener") || strings.Contains(name, "protocol-listener")
}

func TestManagementAnswersAsRecorded(t *testing.T) {
	for _, v := range []Version{V310, V40, V43} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			b := Config{Version: v, Users: map[string]User{"app": {Password: "app", Tags: []string{"administrator"}}}}.New(t)
			file, err := os.ReadFile(filepath.Join("testdata", "management", string(v)+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var calls []recordedCall
			if err := json.Unmarshal(file, &calls); err != nil {
				t.Fatal(err)
			}
			s := &recordedScene{t: t, b: b, at: b.ManagementURL()}
			s.connect()
			for _, c := range calls {
				s.before(c)
				if _, other := notServed[c.Name]; !other {
					s.check(c)
				}
			}
		})
	}
}

// recordedScene does what was done while the answers were recorded.
type recordedScene struct {
	t      *testing.T
	b      *Broker
	at     string
	client *amqp.Connection
	closed chan *amqp.Error
	found  map[string]bool // the steps that were done
}

func (s *recordedScene) connect() {
	s.t.Helper()
	c, err := amqp.DialConfig(s.b.URL(), amqp.Config{Heartbeat: 10 * time.Second})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	s.client, s.closed = c, c.NotifyClose(make(chan *amqp.Error, 1))
}

// before does what comes before a call.
func (s *recordedScene) before(c recordedCall) {
	if s.found == nil {
		s.found = make(map[string]bool)
	}
	if s.found[c.Name] {
		return
	}
	s.found[c.Name] = true
	switch c.Name {
	case "connections-soon":
		s.consume()
	case "get-overview":
		s.b.Advance(12 * time.Second)
	case "conn-del-again":
		s.awaitClose("because")
	case "connections-idle":
		s.connect()
	}
	if c.Name == "conn-user-del" {
		s.t.Cleanup(func() { s.awaitClose("Closed via management plugin") })
	}
}

func (s *recordedScene) awaitClose(text string) {
	s.t.Helper()
	select {
	case err := <-s.closed:
		if err == nil || err.Code != 320 || err.Reason != "CONNECTION_FORCED - "+text {
			s.t.Errorf("the client was told %v, want 320 with %q", err, text)
		}
	case <-time.After(10 * time.Second):
		s.t.Error("the client was not told")
	}
}

func (s *recordedScene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *recordedScene) consume() {
	one, err := s.client.Channel()
	s.must(err)
	s.must(one.Qos(5, 0, false))
	s.must(one.Confirm(false))
	two, err := s.client.Channel()
	s.must(err)
	s.must(two.Qos(2, 0, false))
	_, err = one.QueueDeclare("excl", false, true, true, false, amqp.Table{"x-expires": int32(600000)})
	s.must(err)
	_, err = one.QueueDeclare("", false, true, false, false, nil)
	s.must(err)
	first, err := one.Consume("quorum", "tag1", false, false, false, false, amqp.Table{"x-priority": int32(3)})
	s.must(err)
	<-first
	second, err := two.Consume("stream", "tag2", false, false, false, false, amqp.Table{"x-stream-offset": "first"})
	s.must(err)
	<-second
	_, err = two.Consume("args", "tag3", true, false, false, false, nil)
	s.must(err)
	for range 5 {
		c, err := one.PublishWithDeferredConfirm("x1", "a.b", false, false, amqp.Publishing{
			Body: []byte("hi"), DeliveryMode: 2, Timestamp: time.Now(), Expiration: "100000", UserId: "app", AppId: "a", Type: "t", Priority: 3,
			CorrelationId: "c", ReplyTo: "r", ContentType: "ct", ContentEncoding: "ce", MessageId: "mid",
			Headers: amqp.Table{
				"t": time.Now(), "n": nil, "tab": amqp.Table{"a": []any{int32(1), "x"}}, "b": true, "f": 1.5, "bin": []byte{1, 2, 255},
			},
		})
		s.must(err)
		c.Wait()
	}
	for range 5 {
		c, err := one.PublishWithDeferredConfirm("x1", "a.b", false, false, amqp.Publishing{Body: []byte("hi"), DeliveryMode: 2})
		s.must(err)
		c.Wait()
	}
}

// check makes the call and compares.
func (s *recordedScene) check(c recordedCall) {
	s.t.Helper()
	path := c.Path
	if at := strings.Index(path, "172.17."); at >= 0 { // the connection's name
		name := s.b.Connections()
		_, rest, _ := strings.Cut(path[at:], ":5672")
		if len(name) == 0 {
			path = path[:at] + "gone" + rest
		} else {
			path = path[:at] + strings.NewReplacer(" ", "%20", ">", "%3E").Replace(name[len(name)-1].Name) + rest
		}
	}
	req, err := http.NewRequest(c.Method, s.at+path, strings.NewReader(c.Body))
	s.must(err)
	if otherPorts(c.Name) {
		return
	}
	if c.Name == "conn-del-xreason" {
		req.Header.Set("X-Reason", "because")
	}
	resp, err := http.DefaultClient.Do(req)
	s.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	s.must(err)
	what := fmt.Sprintf("%s: %s %s %s", c.Name, c.Method, c.Path, c.Body)
	if resp.StatusCode != c.Status {
		s.t.Errorf("%s\nanswers %d, want %d: %s", what, resp.StatusCode, c.Status, body)
		return
	}
	if got := resp.Header.Get("Location"); got != c.Location {
		s.t.Errorf("%s\nhas Location %q, want %q", what, got, c.Location)
	}
	var got any
	if len(body) > 0 {
		if err := json.Unmarshal(body, &got); err != nil {
			s.t.Errorf("%s\nanswers no JSON: %v", what, err)
			return
		}
	}
	if c.Reply != nil {
		want, _ := json.Marshal(c.Reply)
		have, _ := json.Marshal(got)
		if string(want) != string(have) {
			s.t.Errorf("%s\nanswers %s\nwant    %s", what, have, want)
		}
	}
	if c.Shape != nil {
		s.compareShapes(what, shapeOf(got), c.Shape)
	}
}

// unseen are paths that only the moment decides about: what is in the head of a
// queue, whether somebody consumes.
var unseen = []string{
	"message_stats", "head_message_timestamp", "value", ".tags[]", "idle_since", "single_active_consumer_tag", "contexts[]", "_files[]",
	// Strange ones, of streams without statistics.
	"[].totals", "[].type_specific",
}

func (s *recordedScene) compareShapes(what string, got, want map[string]string) {
	s.t.Helper()
	for path, types := range got {
		wanted, known := want[path]
		if !known {
			s.t.Errorf("%s\nhas %s (%s), which RabbitMQ does not", what, path, types)
			continue
		}
		for _, one := range strings.Split(types, "|") {
			if !slices.Contains(strings.Split(wanted, "|"), one) {
				s.t.Errorf("%s\nhas %s as %s, RabbitMQ as %s", what, path, types, wanted)
			}
		}
	}
	for path := range want {
		if _, there := got[path]; !there && !slices.ContainsFunc(unseen, func(p string) bool { return strings.Contains(path, p) }) {
			s.t.Errorf("%s\nhas no %s", what, path)
		}
	}
}

// shapeOf is each path in a JSON value with its types.
func shapeOf(v any) map[string]string {
	all := make(map[string][]string)
	var walk func(path string, v any)
	walk = func(path string, v any) {
		kind := "null"
		switch v := v.(type) {
		case map[string]any:
			kind = "object"
			for key, value := range v {
				walk(path+"."+key, value)
			}
		case []any:
			kind = "array"
			for _, value := range v {
				walk(path+"[]", value)
			}
		case string:
			kind = "string"
		case bool:
			kind = "boolean"
		case float64:
			kind = "number"
		}
		if path == "" {
			path = "."
		}
		if !slices.Contains(all[path], kind) {
			all[path] = append(all[path], kind)
		}
	}
	walk("", v)
	out := make(map[string]string)
	for path, kinds := range all {
		slices.Sort(kinds)
		out[path] = strings.Join(kinds, "|")
	}
	return out
}
