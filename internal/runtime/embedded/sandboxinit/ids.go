package sandboxinit

import (
	"strconv"
	"strings"
	"syscall"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// mappings returns the ids of a sandbox for the kernel. A daemon that itself has not
// all ids of the machine (in a container, say) may not have the upper half: then the
// sandbox has only its own ids.
func mappings(first uint32) []syscall.SysProcIDMap {
	maps := handoff.IDMaps(first)
	if !hasUpperHalf("/proc/self/uid_map") || !hasUpperHalf("/proc/self/gid_map") {
		maps = maps[:1]
	}
	list := make([]syscall.SysProcIDMap, len(maps))
	for i, m := range maps {
		list[i] = syscall.SysProcIDMap{ContainerID: int(m.Inside), HostID: int(m.Host), Size: int(m.Count)}
	}
	return list
}

// pingGroups returns the range of groups that may ping, which is all that a gid_map has.
// The kernel compares groups by their ids on the host: the range ends with the largest
// there.
func pingGroups(gidMap string) string {
	var last, largest uint64
	for line := range strings.SplitSeq(gidMap, "\n") {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		inside, err1 := strconv.ParseUint(f[0], 10, 32)
		host, err2 := strconv.ParseUint(f[1], 10, 32)
		count, err3 := strconv.ParseUint(f[2], 10, 32)
		if err1 == nil && err2 == nil && err3 == nil && count > 0 && host+count > largest {
			last, largest = inside+count-1, host+count
		}
	}
	return "0 " + strconv.FormatUint(last, 10)
}

// hasUpperHalf reports whether a map of this process has the ids that sandboxes share.
func hasUpperHalf(path string) bool {
	text, err := readBounded(path, 1<<16)
	if err != nil {
		return false
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		first, err1 := strconv.ParseUint(f[0], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 == nil && err2 == nil && first <= 1<<31 && first+count >= 1<<32-handoff.OwnIDs {
			return true
		}
	}
	return false
}
