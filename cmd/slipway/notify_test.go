//go:build linux

package main

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"
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
		notify(ctx, path, up, nil, slog.New(slog.DiscardHandler))
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
	notify(t.Context(), "", nil, nil, nil) // no manager

	// A process whose server goes on in another one has nothing to say of its own end.
	handed := make(chan struct{})
	close(handed)
	notify(t.Context(), path, up, handed, slog.New(slog.DiscardHandler))
	if got := hear(); got != "READY=1" {
		t.Errorf("it hears %q", got)
	}
	manager.SetReadDeadline(time.Now())
	if n, err := manager.Read(make([]byte, 100)); err == nil {
		t.Errorf("it hears %d bytes more", n)
	}
}
