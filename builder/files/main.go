// Files changes the files of a root file system as the instructions COPY, ADD and
// WORKDIR of a Dockerfile say, with the code that BuildKit copies with. It runs in a
// sandbox whose root directory is the file system that is changed, and in which the
// sources are mounted: links of a hostile image or context lead nowhere else. It reads a
// graph.Work from the file in its first argument. internal/build/docker is its only
// caller.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/openslipway/slipway/internal/build/docker/graph"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: files WORK")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run(ctx context.Context, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var w graph.Work
	if err := json.Unmarshal(text, &w); err != nil {
		return err
	}
	for _, a := range w.Actions {
		if err := do(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// do carries out one action.
func do(ctx context.Context, a graph.Action) error {
	who, err := owner(a.Owner)
	if err != nil {
		return err
	}
	switch {
	case a.Copy != nil:
		return copyFiles(ctx, *a.Copy, who)
	case a.Mkdir != nil:
		return makeDir(*a.Mkdir, who)
	case a.Mkfile != nil:
		return makeFile(*a.Mkfile, who)
	case a.Symlink != nil:
		return makeLink(*a.Symlink, who)
	case a.Remove != nil:
		return remove(*a.Remove)
	}
	return errors.New("an action does nothing")
}
