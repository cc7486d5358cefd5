package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Frozen returns how many of the server's instances are frozen.
func (s *Server) Frozen() (n int) {
	for _, p := range s.InstanceProcesses("app") {
		groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.Pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(groups)) {
			f := strings.SplitN(strings.TrimSpace(line), ":", 3)
			one, _ := os.ReadFile(filepath.Join("/sys/fs/cgroup/freezer", f[2], "freezer.state"))
			two, _ := os.ReadFile(filepath.Join("/sys/fs/cgroup", f[2], "cgroup.events"))
			if f[1] == "freezer" && string(one) == "FROZEN\n" || f[1] == "" && strings.Contains(string(two), "frozen 1") {
				n++
			}
		}
	}
	return n
}

// AwaitFrozen waits until so many instances are frozen.
func (s *Server) AwaitFrozen(want int) {
	s.T.Helper()
	Eventually(s.T, fmt.Sprintf("%d instances are frozen", want), func() (bool, string) {
		n := s.Frozen()
		return n == want, fmt.Sprint(n)
	})
}
