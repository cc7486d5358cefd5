package daemon

import (
	"log/slog"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

const (
	ownDescriptors      = 256 // of the server: database, listeners, logs, calls of other servers, what is opened for a moment
	instanceDescriptors = 10  // of an instance: its processes, namespaces, output, and kept connections to it

	// lowLimit is how few open files are told of at the start, and goodLimit what to raise
	// them to.
	lowLimit  = 8192
	goodLimit = 65536
)

// budget says what a limit of open files is good for. Clients must not take what the dials to
// instances and the files of instances need.
type budget struct {
	limit     uint64
	requests  int // connections of clients of services; each may have one to an instance
	calls     int // connections of clients of the API
	instances int // whatever clients do
}

// budgetOf divides the limit of open files, for as many connections as were asked for: of what
// the server leaves, two fifths are for clients of services, as much for the connections to
// instances of their requests, a tenth for clients of the API, and a tenth for instances.
func budgetOf(limit uint64, connections int) budget {
	rest := max(int(min(limit, math.MaxInt32))-ownDescriptors, 10*instanceDescriptors)
	return budget{
		limit: limit, requests: min(connections, rest*2/5), calls: min(connections, rest/10), instances: rest / 10 / instanceDescriptors,
	}
}

// tell logs a limit that is low.
func (b budget) tell(log *slog.Logger) {
	if b.limit < lowLimit {
		log.Warn("few files may be open at once", "limit", b.limit, "instances", b.instances, "connections", b.requests, "wanted", goodLimit)
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
