package egress

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inside runs f on a thread that is in another network namespace. Sockets that
// f opens stay there.
func inside(netns *os.File, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			result <- fmt.Errorf("open the own network namespace: %w", err)
			return
		}
		defer home.Close()
		if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			result <- fmt.Errorf("enter network namespace %s: %w", netns.Name(), err)
			return
		}
		err = f()
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			// The thread stays locked and ends with this goroutine, so that no
			// other goroutine runs in the wrong namespace.
			result <- fmt.Errorf("leave network namespace %s: %w", netns.Name(), back)
			return
		}
		runtime.UnlockOSThread()
		result <- err
	}()
	return <-result
}

// open returns a handle to the network configuration of a sandbox's namespace,
// after turning IPv6 off for the devices that will come into it. The loopback
// device is there already and keeps it.
func open(netns *os.File) (*netlink.Handle, error) {
	var h *netlink.Handle
	err := inside(netns, func() error {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6 has no such file
			return fmt.Errorf("turn off IPv6: %w", err)
		}
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	return h, err
}
