// App is the service under test. Each reply tells who gave it, so that tests
// see which version, instance and process answered.
//
// Variables: PORT and GREETING; VERSION and TOKEN, shown in replies; LISTEN, an address
// to listen on instead of PORT; MODE, how to misbehave: "exit" (print a reason
// and exit 3 at once), "mute" (never listen), "ill" (answer 500 to health
// checks).
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	Token    string `json:"token,omitempty"`
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
		Greeting: os.Getenv("GREETING"), Version: os.Getenv("VERSION"), Token: os.Getenv("TOKEN"),
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
	hangs    atomic.Bool  // it answers no request to / any more
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
	mux.HandleFunc("/large", large)
	mux.HandleFunc("/socket", socket)
	mux.HandleFunc("/hang", func(http.ResponseWriter, *http.Request) { a.hangs.Store(true) })
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
	if a.hangs.Load() {
		<-r.Context().Done()
		return
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

// large answers ?kib= KiB, whose bytes are the letters a to z over and over, in pieces with
// ?ms= milliseconds between them.
func large(w http.ResponseWriter, r *http.Request) {
	const pieces = 16
	kib, _ := strconv.Atoi(r.FormValue("kib"))
	ms, _ := strconv.Atoi(r.FormValue("ms"))
	size := kib << 10
	w.Header().Set("Content-Length", strconv.Itoa(size))
	b := make([]byte, size)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	for i := range pieces {
		if _, err := w.Write(b[size*i/pieces : size*(i+1)/pieces]); err != nil {
			return
		}
		time.Sleep(time.Duration(ms) * time.Millisecond)
	}
}

// socket is a WebSocket that echoes short frames, or speaks the same by the name of another
// protocol. It ends when the client says so.
func socket(w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		r.Header.Get("Upgrade"), base64.StdEncoding.EncodeToString(sum[:]))
	for {
		kind, text, err := readFrame(rw.Reader)
		if err != nil {
			return
		}
		if _, err := conn.Write(append([]byte{kind, byte(len(text))}, text...)); err != nil || kind&0xf == 8 {
			return
		}
	}
}

// readFrame reads a masked frame of at most 125 bytes.
func readFrame(r *bufio.Reader) (kind byte, text []byte, err error) {
	var head [6]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	text = make([]byte, head[1]&0x7f)
	if _, err = io.ReadFull(r, text); err != nil {
		return 0, nil, err
	}
	for i := range text {
		text[i] ^= head[2+i%4]
	}
	return head[0], text, nil
}
