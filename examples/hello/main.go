// Hello is a small web service to try Slipway with: a page, a health check and
// a graceful shutdown on SIGTERM. It listens on PORT, 8080 by default, and
// greets with GREETING.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

//go:embed page.html
var page string

// drain bounds the time that requests have to finish after SIGTERM.
const drain = 20 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		slog.Error("hello", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	server := &http.Server{
		Addr:              ":" + variable("PORT", "8080"),
		Handler:           routes(variable("GREETING", "Hello")),
		ReadHeaderTimeout: 10 * time.Second,
	}
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		limited, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		done <- server.Shutdown(limited)
	}()
	slog.Info("listening", "addr", server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}

func routes(greeting string) http.Handler {
	view := template.Must(template.New("page").Parse(page))
	host, _ := os.Hostname()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		slog.Info("request", "path", r.URL.Path, "from", r.Header.Get("X-Forwarded-For"))
		if !strings.Contains(r.Header.Get("Accept"), "text/html") {
			fmt.Fprintf(w, "%s from instance %s\n", greeting, host)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := view.Execute(w, map[string]string{"Greeting": greeting, "Instance": host}); err != nil {
			slog.Error("page", "error", err)
		}
	})
	return mux
}

// variable returns an environment variable, or def if it is empty.
func variable(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}
