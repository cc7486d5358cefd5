package harness

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// Servers listen below the kernel's range of ephemeral ports, so that a server
// finds its ports free after a restart. Each test process has its own share of
// them.
const (
	firstPort     = 20000
	portsPerShare = 1000
	portShares    = 12
)

// portShare holds the lock of this process's share for as long as it lives.
type portShare struct {
	first int
	lock  *os.File
}

// lockDir is the same for all processes, also where a test has a TMPDIR of its own.
var lockDir = os.TempDir()

// claimPorts claims the first share that no other process has.
var claimPorts = sync.OnceValues(func() (*portShare, error) {
	for n := range portShares {
		f, err := os.OpenFile(filepath.Join(lockDir, fmt.Sprintf("slipway-e2e-ports-%d", n)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return &portShare{firstPort + n*portsPerShare, f}, nil
		}
		f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
	return nil, errors.New("other processes of end-to-end tests have all shares of ports")
})

// nextPort spreads the servers of one process over its share.
var nextPort atomic.Int64

// FreeAddr returns a loopback address with a port that nothing listens on.
func FreeAddr(t testing.TB) string {
	t.Helper()
	share, err := claimPorts()
	if err != nil {
		t.Fatal(err)
	}
	for range portsPerShare {
		port := share.first + int(nextPort.Add(1))%portsPerShare
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}
