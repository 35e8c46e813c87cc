package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hareline/hareline/amqptest"
)

func TestBrokerOfItsOwn(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, "", "", &out); err != nil {
		t.Fatalf("%v after\n%s", err, &out)
	}
	got := strings.ReplaceAll(out.String(), `,messaging_system="rabbitmq"`, "")
	for _, want := range []string{
		`hareline_buried_messages_total{hareline_reason="permanent",messaging_destination_name="metrics.payments"} 3`,
		`hareline_parked_delay_seconds_count{messaging_destination_name="metrics.payments"} 3`,
		`hareline_process_attempts_count{hareline_verdict="buried",messaging_destination_name="metrics.payments"} 3`,
		`hareline_process_attempts_count{hareline_verdict="handled",messaging_destination_name="metrics.payments"} 30`,
		`hareline_publish_outcomes_total{hareline_outcome="confirmed",messaging_destination_name="amq.default",messaging_operation_name="send"} 30`,
		`hareline_publish_outcomes_total{hareline_outcome="returned",messaging_destination_name="amq.default",messaging_operation_name="send"} 1`,
		`hareline_replayed_messages_total{hareline_source="metrics.payments.dlq",messaging_destination_name="metrics.payments",messaging_operation_name="replay"} 3`,
		`hareline_settle_latency_seconds_count{messaging_destination_name="metrics.payments",messaging_operation_name="ack"} 36`,
		`messaging_client_consumed_messages_total{messaging_destination_name="metrics.payments",messaging_operation_name="process"} 36`,
		`messaging_process_duration_seconds_count{error_type="error",hareline_verdict="parked",messaging_destination_name="metrics.payments",messaging_operation_name="process"} 3`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no line %s in\n%s", want, got)
		}
	}
}

// What is served is what is counted, until ctx ends.
func TestServe(t *testing.T) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	b := amqptest.Config{Clock: amqptest.Running}.New(t)
	registry := prometheus.NewRegistry()
	provider, err := newProvider(registry)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan error, 1)
	go func() {
		served <- serve(ctx, l, registry, func(ctx context.Context) error { return pay(ctx, b.URL(), provider, 0) })
	}()
	if _, err := b.WaitEvent(ctx, func(e amqptest.Event) bool { return e.Kind == amqptest.EventAcked }); err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get("http://" + l.Addr().String() + "/metrics")
	must(t, err)
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	must(t, err)
	const want = `messaging_client_consumed_messages_total{messaging_destination_name="metrics.payments",messaging_operation_name="process",messaging_system="rabbitmq"} `
	if !strings.Contains(string(text), want) {
		t.Errorf("served\n%s", text)
	}
	stop()
	if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
