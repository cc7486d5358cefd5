package runtime

import (
	"context"
	"net/netip"
)

// Netstat is a driver that tells where its instances listen.
type Netstat interface {
	// Listening returns the sockets of the instance that wait for connections or
	// datagrams, without those of the driver itself.
	Listening(ctx context.Context, id string) ([]Socket, error)
}

// Socket is a socket that waits for connections or, with UDP, for datagrams.
type Socket struct {
	Addr netip.AddrPort
	UDP  bool
}
