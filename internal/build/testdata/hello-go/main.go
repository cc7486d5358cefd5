// Hello is a service of the tests of builds.
package main

import (
	"fmt"
	"runtime"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

func main() {
	fmt.Println(cases.Title(language.English).String("hello from"), runtime.Version())
}
