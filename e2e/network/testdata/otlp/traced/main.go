// Traced is a web service instrumented with OpenTelemetry's SDK, which it
// configures by nothing but the environment. Each request makes a span, and is
// answered when that has been exported.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	exporter, err := otlptracegrpc.New(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, span := provider.Tracer("traced").Start(r.Context(), r.URL.Path)
		span.End()
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if err := provider.ForceFlush(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprintln(w, span.SpanContext().TraceID())
	})
	http.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, os.Getenv(r.URL.RawQuery))
	})
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}
