// Shop is a service of a monorepo.
package main

import (
	"fmt"
	"net/http"
	"os"
	"runtime"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"

	"example.com/greet"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, cases.Title(language.English).String(greet.Words), runtime.Version(), os.Getenv("STAGE"))
	})
	if err := http.ListenAndServe(":"+os.Getenv("SHOP_PORT"), nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
