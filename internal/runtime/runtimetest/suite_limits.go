package runtimetest

import (
	"fmt"
	"strings"
)

func testMemoryLimit(b *fixture) {
	if !b.driver.Limits().Memory {
		b.Skip("this driver does not limit memory")
	}
	neighbour := b.start(Program{})
	b.serves(neighbour)
	s := b.spec(Program{Memory: 512 << 20})
	s.Resources.Memory = 64
	b.ensure(s)
	if exit := b.exited(s.ID); !exit.OOM || exit.Code != 137 || exit.Signal != "SIGKILL" {
		b.Errorf("an instance that takes 512 of its 64 MiB ended with %+v", exit)
	}
	b.serves(neighbour)
}

func testPidsLimit(b *fixture) {
	if !b.driver.Limits().Pids {
		b.Skip("this driver does not limit processes")
	}
	neighbour := b.start(Program{})
	b.serves(neighbour)
	const wanted = 50_000
	id := b.start(Program{Children: wanted})
	if n := b.number(id, "children"); n <= 0 || n >= wanted {
		b.Errorf("a fork bomb made %d processes", n)
	}
	b.serves(neighbour)
	b.remove(id, 0)
}

func testDiskLimit(b *fixture) {
	if !b.driver.Limits().Disk {
		b.Skip("this driver does not limit disk space")
	}
	neighbour := b.start(Program{})
	b.serves(neighbour)
	const limit = 16 << 20
	s := b.spec(Program{Disk: 4 * limit})
	s.Disk = limit
	b.ensure(s)
	// File systems account in blocks, so the limit may be met a little early or late.
	if n := b.number(s.ID, "disk"); n < limit/2 || n > limit*5/4 {
		b.Errorf("an instance with %d bytes of disk wrote %d", limit, n)
	}
	b.serves(neighbour)
}

// number waits for the line "<name> <number>" on the instance's output.
func (b *fixture) number(id, name string) (n int64) {
	b.Helper()
	b.eventually("the line "+name, func() error {
		out := text(b.output(id, 0), false)
		_, rest, found := strings.Cut(out, name+" ")
		if !found || !strings.Contains(rest, "\n") {
			return fmt.Errorf("output is %.200q", out)
		}
		_, err := fmt.Sscan(rest, &n)
		return err
	})
	return n
}
