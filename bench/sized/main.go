// Sized is the backend of the measurements of the router: it answers /N with N bytes, and
// /slow with a few after 20 ms.
package main

import (
	"bytes"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	bodies := map[string][]byte{"/": []byte("ok"), "/slow": []byte("ok")}
	for _, n := range []int{100, 10_000, 1_000_000} {
		bodies["/"+strconv.Itoa(n)] = bytes.Repeat([]byte("x"), n)
	}
	addr := ":8080"
	if len(os.Args) > 1 {
		addr = os.Args[1]
	}
	err := http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			time.Sleep(20 * time.Millisecond)
		}
		b, ok := bodies[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		w.Write(b)
	}))
	os.Stderr.WriteString(strings.TrimSpace(err.Error()) + "\n")
	os.Exit(1)
}
