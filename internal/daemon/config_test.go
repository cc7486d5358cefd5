package daemon

import (
	"strings"
	"testing"
)

// TestIOFlags: limits of disks that the kernel cannot take are refused by the flag's name.
func TestIOFlags(t *testing.T) {
	t.Parallel()
	for flag, set := range map[string]func(*IO, int64){
		"--io-read ":      func(i *IO, n int64) { i.Read = n },
		"--io-write ":     func(i *IO, n int64) { i.Write = n },
		"--io-read-ops ":  func(i *IO, n int64) { i.ReadOps = n },
		"--io-write-ops ": func(i *IO, n int64) { i.WriteOps = n },
	} {
		for n, ok := range map[int64]bool{0: true, 1: true, maxIO: true, -1: false, maxIOOps + 1: false} {
			c := Default()
			set(&c.IO, n)
			if err := c.Check(); (err == nil) != ok || !ok && !strings.HasPrefix(err.Error(), flag) {
				t.Errorf("%s%d: %v", flag, n, err)
			}
		}
	}
}

// TestDiskOvercommit: a factor that makes no sense is refused by the flag's name.
func TestDiskOvercommit(t *testing.T) {
	t.Parallel()
	if n := Default().DiskOvercommit; n != 50 {
		t.Errorf("the default is %d", n)
	}
	for n, ok := range map[int]bool{0: true, 1: true, maxOvercommit: true, -1: false, maxOvercommit + 1: false} {
		c := Default()
		c.DiskOvercommit = n
		if err := c.Check(); (err == nil) != ok || !ok && !strings.HasPrefix(err.Error(), "--disk-overcommit is ") {
			t.Errorf("%d: %v", n, err)
		}
	}
}
