package build

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"
	"time"
)

// withDefaults sets what is zero.
func (l Limits) withDefaults() Limits {
	memory := DefaultMemory
	if total, err := memoryInfo("MemTotal"); err == nil {
		memory = min(memory, max(int(total>>20)/2, 256))
	}
	return l.or(Limits{
		CPU: goruntime.NumCPU() * 1024, Memory: memory, Pids: 4096, Disk: 10 << 30, Output: 16 << 20, Time: 30 * time.Minute,
	})
}

// availableMemory returns the memory that programs can take without swapping, in bytes.
func availableMemory() (int64, error) { return memoryInfo("MemAvailable") }

// memoryInfo reads a value of /proc/meminfo, in bytes.
func memoryInfo(name string) (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), name+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no %s", name)
}

// bytesText formats a size for people.
func bytesText(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return strings.TrimSuffix(strconv.FormatFloat(float64(n)/float64(u.size), 'f', 1, 64), ".0") + " " + u.name
		}
	}
	return cmp.Or(strconv.FormatInt(n, 10), "0") + " bytes"
}
