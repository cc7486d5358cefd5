//go:build linux

package main

import (
	"context"
	"log/slog"
	"net"
)

// notify tells the service manager at a socket (NOTIFY_SOCKET, see sd_notify(3)) when
// the server is up and when it begins to end, which the end of this process is not after
// handed was closed. "" is no manager.
func notify(ctx context.Context, socket string, up, handed <-chan struct{}, log *slog.Logger) {
	if socket == "" {
		return
	}
	select {
	case <-up:
	case <-ctx.Done():
		return
	}
	tell(socket, "READY=1", log)
	select {
	case <-handed:
	case <-ctx.Done():
		tell(socket, "STOPPING=1", log)
	}
}

func tell(socket, state string, log *slog.Logger) {
	conn, err := net.Dial("unixgram", socket) // which knows "@" as the abstract namespace
	if err == nil {
		defer conn.Close()
		_, err = conn.Write([]byte(state))
	}
	if err != nil {
		log.Warn("the service manager could not be told", "state", state, "err", err)
	}
}
