package integration

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hareline/hareline/bus"
	"github.com/hareline/hareline/integration/brokertest"
	"github.com/hareline/hareline/link"
)

// sdkEvent reads a message with the CloudEvents SDK. It has no binding for AMQP 0-9-1;
// that for HTTP has the same two modes.
func sdkEvent(t *testing.T, d amqp.Delivery) *event.Event {
	t.Helper()
	header := http.Header{"Content-Type": {d.ContentType}}
	for name, value := range d.Headers {
		if attribute, ok := strings.CutPrefix(name, "cloudEvents_"); ok {
			header.Set("ce-"+attribute, value.(string))
		}
	}
	e, err := binding.ToEvent(t.Context(), cehttp.NewMessage(header, io.NopCloser(bytes.NewReader(d.Body))))
	if err != nil {
		t.Fatalf("the SDK does not read it: %v\n%+v", err, d)
	}
	if err := e.Validate(); err != nil {
		t.Fatalf("the SDK takes it for invalid: %v", err)
	}
	return e
}

// What we publish as CloudEvents, their SDK takes for valid, and reads alike.
func TestSDKReadsCloudEventsOfBus(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, br *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{br.URL}})
		for _, format := range []bus.Format{bus.CloudEventsBinary, bus.CloudEventsStructured} {
			b := openBus(t, l, bus.Config{Format: format, Source: "/films", Exchange: "films"})
			do(t, l, func(ch *amqp.Channel) error {
				if _, err := ch.QueueDeclare("sdk", true, false, false, false, nil); err != nil {
					return err
				}
				return ch.QueueBind("sdk", "#", "films", false, nil)
			})
			before := time.Now()
			for _, e := range []bus.Event{
				{Type: "film.seen", MessageID: "m1", Subject: "films/7", Payload: map[string]string{"title": "아바타"},
					Extensions: map[string]string{"traceparent": "00-1", "dataschema": "https://example.com/film.json"}},
				{Type: "film.poster", MessageID: "m2", ContentType: "image/png", Payload: []byte("\x89PNG\x00")},
				{Type: "film.note", MessageID: "m3", ContentType: "text/plain", Payload: "good & bad"},
				{Type: "film.none", MessageID: "m4"},
			} {
				if err := b.Publish(deadline(t), e); err != nil {
					t.Fatal(err)
				}
			}
			got := take(t, l, "sdk")
			if len(got) != 4 {
				t.Fatalf("%d messages", len(got))
			}
			seen, poster, note, none := sdkEvent(t, got[0]), sdkEvent(t, got[1]), sdkEvent(t, got[2]), sdkEvent(t, got[3])
			var film struct{ Title string }
			if err := seen.DataAs(&film); err != nil || film.Title != "아바타" || seen.Type() != "film.seen" || seen.ID() != "m1" || seen.Source() != "/films" ||
				seen.Subject() != "films/7" || seen.DataSchema() != "https://example.com/film.json" || seen.Extensions()["traceparent"] != "00-1" || seen.Time().Sub(before).Abs() > time.Hour {
				t.Errorf("%v, %v", err, seen)
			}
			if string(poster.Data()) != "\x89PNG\x00" || poster.DataContentType() != "image/png" {
				t.Errorf("%v", poster)
			}
			if string(note.Data()) != "good & bad" && string(note.Data()) != `"good & bad"` || note.DataContentType() != "text/plain" {
				t.Errorf("%v", note)
			}
			if none.ID() != "m4" {
				t.Errorf("%v", none)
			}
		}
	})
}

// What their SDK writes, we read, in both modes and among envelopes.
func TestBusReadsCloudEventsOfSDK(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, br *brokertest.Broker) {
		l := open(t, link.Config{URLs: []string{br.URL}})
		b := openBus(t, l, bus.Config{})
		got, h := collector()
		subscribe(t, b, "#", "films", h)
		runBus(b)
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		e := event.New()
		e.SetID("m1")
		e.SetType("film.seen")
		e.SetSource("https://example.com/films")
		e.SetSubject("films/7")
		e.SetTime(at)
		e.SetExtension("retries", 3)
		if err := e.SetData(event.ApplicationJSON, map[string]string{"title": "아바타"}); err != nil {
			t.Fatal(err)
		}
		structured, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		binary := amqp.Publishing{ContentType: e.DataContentType(), Body: e.Data(), Headers: amqp.Table{
			"cloudEvents:specversion": e.SpecVersion(), "cloudEvents:id": e.ID(), "cloudEvents:type": e.Type(), "cloudEvents:source": e.Source(),
			"cloudEvents:subject": e.Subject(), "cloudEvents:time": e.Time(), "cloudEvents:retries": e.Extensions()["retries"],
		}}
		do(t, l, func(ch *amqp.Channel) error {
			for _, msg := range []amqp.Publishing{{ContentType: event.ApplicationCloudEventsJSON, Body: structured}, {Body: structured}, binary} {
				if err := ch.PublishWithContext(deadline(t), "events", "film.seen", true, false, msg); err != nil {
					return err
				}
			}
			return nil
		})
		for range 3 {
			r := wait(t, got, "the events")
			var film struct{ Title string }
			if err := r.Decode(&film); err != nil || film.Title != "아바타" || r.Type != "film.seen" || r.MessageID != "m1" || r.Source != "https://example.com/films" ||
				r.Subject != "films/7" || !r.Timestamp.Equal(at) || r.Extensions["retries"] != "3" || len(r.Extensions) != 1 {
				t.Errorf("%v, %+v", err, r)
			}
		}
	})
}
