package daemon

import (
	"log/slog"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// How many descriptors the server takes.
const (
	ownDescriptors      = 256 // database, listeners, logs, calls of other servers, what is opened for a moment
	instanceDescriptors = 10  // of an instance: its processes, namespaces, output, and kept connections to it
	doors               = 2   // the API's address and those of services, which have their own limits of connections
	requestDescriptors  = 3   // of a client at each: one of a call, and two of a request, with the one to the instance
)

// budget says what a limit of open files is good for. Half of what the server leaves is for
// clients, who must not take what the dials to instances and the files of instances need.
type budget struct {
	limit       uint64
	connections int // at one door at once
	instances   int
	short       bool // connections are fewer than was asked for
}

// budgetOf divides the limit of open files, for as many connections as were asked for.
func budgetOf(limit uint64, connections int) budget {
	rest := max(int64(min(limit, math.MaxInt32))-ownDescriptors, instanceDescriptors*doors)
	b := budget{limit: limit, connections: connections, instances: int(rest / 2 / instanceDescriptors)}
	if most := max(1, int(rest/2/requestDescriptors)); most < connections {
		b.connections, b.short = most, true
	}
	return b
}

// wanted is the limit at which connections are not fewer than asked for.
func wanted(connections int) int { return connections*requestDescriptors*2 + ownDescriptors }

// tell logs a limit that is too low.
func (b budget) tell(asked int, log *slog.Logger) {
	if b.short {
		log.Warn("few files may be open at once", "limit", b.limit, "instances", b.instances, "connections", b.connections, "wanted", wanted(asked))
	}
}

// fileLimit returns how many descriptors this process may have open. The Go runtime has
// raised it to the hard limit.
func fileLimit() uint64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return math.MaxInt32
	}
	return l.Cur
}

// openFiles counts the descriptors of this process.
func openFiles() (int, error) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	return len(names) - 1, err // without dir's
}
