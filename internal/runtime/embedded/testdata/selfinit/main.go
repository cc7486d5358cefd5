// Command selfinit runs an instance in a sandbox whose init is selfinit itself:
//
//	selfinit DIR LAYERS LAYER ARGV...
//
// It writes the instance's output to its own and exits with its code.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded"
	"github.com/openslipway/slipway/internal/runtime/embedded/sandboxinit"
)

// image is the one image there is: a layer.
type image string

func (i image) Layers(context.Context, string) ([]string, error) { return []string{string(i)}, nil }

func main() {
	if sandboxinit.Wanted(os.Args) {
		sandboxinit.Main()
	}
	code, err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(dir, layers, layer string, argv []string) (code int, err error) {
	d, err := embedded.New(embedded.Config{
		Dir: dir, LayerDir: layers, Images: image(filepath.Join(layers, layer)), SelfInit: true,
		Pool: -1, Disks: "memory", Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-ended)
	}()
	spec := runtime.Spec{ID: slipway.NewID(), Image: "image"}
	spec.Process.Argv = argv
	spec.Resources = slipway.Resources{CPU: 1024, Memory: 256}
	if err := d.Ensure(ctx, spec); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.Remove(ctx, spec.ID, 0)) }()
	for {
		list, err := d.List(ctx)
		if err != nil {
			return 0, err
		}
		if exit := list[0].Exit; exit != nil {
			fmt.Print(exit.Tail)
			fmt.Fprintln(os.Stderr, exit.Reason)
			return exit.Code, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}
