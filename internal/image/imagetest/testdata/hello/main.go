// Hello answers every request with a fixed text, its own process id and the
// variable GREETING. It listens on PORT, 8080 by default.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "hello %s from %d\n", os.Getenv("GREETING"), os.Getpid())
	})
	log.Fatal(http.ListenAndServe(":"+port, nil))
}
