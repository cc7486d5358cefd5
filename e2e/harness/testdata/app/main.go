// App is the service under test. Each reply tells who gave it, so that tests
// see which version, instance and process answered.
//
// Variables: PORT and GREETING; VERSION, shown in replies; LISTEN, an address
// to listen on instead of PORT; MODE, how to misbehave: "exit" (print a reason
// and exit 3 at once), "mute" (never listen), "ill" (answer 500 to health
// checks).
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// reply is the body of every answer.
type reply struct {
	Greeting string `json:"greeting"`
	Version  string `json:"version"`
	Instance string `json:"instance"`
	Boot     string `json:"boot"` // random, made at the process's start
	PID      int    `json:"pid"`
	Serving  int64  `json:"serving"` // requests in flight, this one too

	Host    string      `json:"host"`
	Headers http.Header `json:"headers,omitempty"`
}

func main() {
	log.SetFlags(0)
	switch os.Getenv("MODE") {
	case "exit":
		log.Print("app: the database is not there")
		os.Exit(3)
	case "mute":
		log.Print("app: not listening")
		end := make(chan os.Signal, 1) // which also keeps the Go runtime from calling it a deadlock
		signal.Notify(end, syscall.SIGTERM)
		<-end
		return
	}
	if err := serve(); err != nil {
		log.Fatal("app: ", err)
	}
}

func serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	a := &app{reply: reply{
		Greeting: os.Getenv("GREETING"), Version: os.Getenv("VERSION"),
		Instance: host, Boot: boot(), PID: os.Getpid(),
	}}
	addr := os.Getenv("LISTEN")
	if addr == "" {
		addr = ":" + os.Getenv("PORT")
	}
	s := &http.Server{Addr: addr, Handler: a.routes()}
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		log.Print("app: ending")
		done <- s.Shutdown(context.Background())
	}()
	log.Printf("app: %s listens on %s", a.Boot, addr)
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}

func boot() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

type app struct {
	reply
	serving  atomic.Int64
	counted  atomic.Int64 // requests to /count
	database database
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", a.answer)
	mux.HandleFunc("/healthz", a.health)
	mux.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, os.Getenv(r.FormValue("name")))
	})
	mux.HandleFunc("/count", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, a.counted.Add(1)) })
	mux.HandleFunc("/database", a.database.ask)
	mux.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) {
		log.Print("app: asked to exit")
		os.Exit(3)
	})
	return mux
}

// answer replies after ?ms= milliseconds, with its request's headers when
// asked by ?headers=1.
func (a *app) answer(w http.ResponseWriter, r *http.Request) {
	serving := a.serving.Add(1)
	defer a.serving.Add(-1)
	if ms, err := strconv.Atoi(r.FormValue("ms")); err == nil {
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
	out := a.reply
	out.Serving, out.Host = serving, r.Host
	if r.FormValue("headers") != "" {
		out.Headers = r.Header
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(out); err != nil {
		log.Print("app: ", err)
	}
}

func (a *app) health(w http.ResponseWriter, _ *http.Request) {
	if os.Getenv("MODE") == "ill" {
		http.Error(w, "ill", http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "ok")
}
