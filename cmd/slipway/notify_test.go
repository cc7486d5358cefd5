//go:build linux

package main

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
)

// The service manager hears of the server's start and of its end.
func TestNotify(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	hear := func() string {
		b := make([]byte, 100)
		n, err := manager.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	ctx, cancel := context.WithCancel(t.Context())
	up, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		notify(ctx, path, up, slog.New(slog.DiscardHandler))
	}()
	close(up)
	if got := hear(); got != "READY=1" {
		t.Errorf("it hears %q", got)
	}
	cancel()
	if got := hear(); got != "STOPPING=1" {
		t.Errorf("it hears %q", got)
	}
	<-done
	notify(t.Context(), "", nil, nil) // no manager
}
