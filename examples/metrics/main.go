// Command metrics counts what becomes of payments, and exposes it to Prometheus. Of
// thirty payments every fifth fails once, and every tenth is buried; the letters are
// replayed. Then it prints what a scrape of /metrics would give, without the buckets.
// With -listen it serves /metrics there, and payments go on until Ctrl-C: point a
// Prometheus at it, and load docs/grafana/hareline.json and docs/prometheus/alerts.yml.
// It uses the broker at AMQP_URL, or else one in its own process.
//
//	go run ./examples/metrics
//	go run ./examples/metrics -listen 127.0.0.1:9464
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/hareline/hareline/amqptest"
)

func main() {
	listen := flag.String("listen", "", "serve /metrics at this address, and go on until Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Getenv("AMQP_URL"), *listen, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "metrics:", err)
		os.Exit(1) //nolint:gocritic // the process ends here, and its ctx with it
	}
}

func run(ctx context.Context, url, listen string, out io.Writer) error {
	if url == "" {
		b, err := amqptest.Start("127.0.0.1:0")
		if err != nil {
			return err
		}
		defer b.Close() //nolint:errcheck // the process ends with it
		url = b.URL()
		fmt.Fprintln(os.Stderr, "metrics: AMQP_URL is not set; using a broker in this process")
	}
	registry := prometheus.NewRegistry()
	provider, err := newProvider(registry)
	if err != nil {
		return err
	}
	defer provider.Shutdown(context.Background()) //nolint:errcheck // nothing is sent to anybody
	if listen == "" {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := pay(ctx, url, provider, 30); err != nil {
			return err
		}
		return write(out, registry)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	return serve(ctx, l, registry, func(ctx context.Context) error { return pay(ctx, url, provider, 0) })
}

// newProvider gives what is measured to a registry of Prometheus, which is asked for
// it. For a collector use otlpmetrichttp instead: the names in Prometheus are the same.
func newProvider(registry prometheus.Registerer) (*metric.MeterProvider, error) {
	e, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	return metric.NewMeterProvider(metric.WithReader(e),
		metric.WithResource(resource.NewSchemaless(attribute.String("service.name", "metrics")))), nil
}

// serve exposes the registry for as long as work works.
func serve(ctx context.Context, l net.Listener, registry *prometheus.Registry, work func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() {
		defer stop()
		served <- server.Serve(l)
	}()
	fmt.Fprintf(os.Stderr, "metrics: serving http://%s/metrics until Ctrl-C\n", l.Addr())
	err := work(ctx)
	_ = server.Close() // whoever scrapes now comes too late
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}
