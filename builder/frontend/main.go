// Frontend turns a Dockerfile into the steps that build it, with BuildKit's parser and
// its conversion to LLB. It runs in a sandbox without a network: it reads a
// graph.Request from the file in its first argument, writes a graph.Answer to the one in
// its second, and does nothing else. It doesn't run steps and pulls no images: when it
// needs the configuration of a base image, its answer says of which, and it is started
// again. internal/build/docker is its only caller.
//
// As `frontend fetch` it writes the file at a URL, for ADD, in a sandbox with the network
// of builds.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/openslipway/slipway/internal/build/docker/graph"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 3:
		err = run(os.Args[1], os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "fetch":
		err = fetch(context.Background(), os.Args[2], os.Args[3])
	default:
		fmt.Fprintln(os.Stderr, "usage: frontend REQUEST ANSWER | frontend fetch WHAT FILE")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var r graph.Request
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	a, err := convert(context.Background(), r)
	if err != nil {
		return err
	}
	if text, err = json.Marshal(a); err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}
