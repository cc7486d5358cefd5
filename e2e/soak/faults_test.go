package soak

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/openslipway/slipway/e2e/harness"
)

// harm has something happen to the server or to an instance, which is chosen at random.
func (s *soak) harm(random *rand.Rand) {
	s.quiet.RLock()
	defer s.quiet.RUnlock()
	if s.over.Err() != nil {
		return
	}
	kinds := []faultKind{
		serverKilled, serverKilled, serverStopped, serverReplace, serverReplace, serverFrozen,
		appKilled, appKilled, shimKilled, appExited,
	}
	kind := kinds[random.IntN(len(kinds))]
	switch kind {
	case serverKilled:
		end := s.open(fault{kind: kind})
		s.Kill()
		s.Start()
		end()
	case serverStopped:
		end := s.open(fault{kind: kind})
		s.Stop()
		s.Start()
		end()
	case serverReplace:
		end := s.open(fault{kind: kind})
		if out, err := s.Upgrade(); err != nil {
			s.T.Errorf("slipway upgrade: %v\n%s", err, out)
		}
		end()
	case serverFrozen:
		end := s.open(fault{kind: kind})
		pid := s.LastPID()
		syscall.Kill(pid, syscall.SIGSTOP)
		s.await(500 + random.IntN(3500))
		syscall.Kill(pid, syscall.SIGCONT)
		end()
	case appKilled, shimKilled:
		s.harmInstance(kind, random)
	case appExited:
		s.exit()
	}
	s.count("fault", string(kind))
}

// open notes a fault, and end its end.
func (s *soak) open(f fault) (end func()) {
	f.from = time.Now()
	s.mu.Lock()
	n := len(s.faults)
	s.faults = append(s.faults, f)
	s.mu.Unlock()
	for _, v := range s.services {
		if f.service == "" || f.service == v.name {
			v.note("%s", f.kind)
		}
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults[n].to = time.Now()
	}
}

// known returns the faults so far.
func (s *soak) known() []fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

// disturbed reports whether the server may have cut a call.
func (s *soak) disturbed(begun, end time.Time) bool {
	return slices.ContainsFunc(s.known(), func(f fault) bool {
		return (f.kind == serverKilled || f.kind == serverStopped || f.kind == serverReplace) && f.during(begun, end)
	})
}

// instanceFault reports whether an instance of the service was killed meanwhile.
func (s *soak) instanceFault(service string, begun, end time.Time) bool {
	return slices.ContainsFunc(s.known(), func(f fault) bool { return f.ofInstance(service) && f.during(begun, end) })
}

// harmInstance kills an instance's process, or the shim beside it.
func (s *soak) harmInstance(kind faultKind, random *rand.Rand) {
	all := s.InstanceProcesses("app")
	if len(all) == 0 {
		return
	}
	victim := all[random.IntN(len(all))]
	service, _ := serviceOf(victim)
	if service == "" {
		return // it has ended
	}
	pid := victim.Pid
	if kind == shimKilled {
		if pid = parentOf(victim.Pid); pid <= 1 {
			return
		}
	}
	s.until(s.open(fault{kind: kind, service: service}), victim)
	syscall.Kill(pid, syscall.SIGKILL)
}

// until ends a fault once the process is gone. One that is frozen dies when it is thawed.
func (s *soak) until(end func(), victim harness.Process) {
	s.all.Go(func() {
		defer end()
		for !victim.Reaped() && s.over.Err() == nil {
			<-time.After(time.Millisecond)
		}
	})
}

// exit has the instance of a service exit by itself, if it has only one.
func (s *soak) exit() {
	i := slices.IndexFunc(s.services, func(v *service) bool { return v.exits })
	if i < 0 {
		return
	}
	v := s.services[i]
	v.mu.Lock()
	at := v.life
	v.mu.Unlock()
	if at == nil {
		return
	}
	end := s.open(fault{kind: appExited, service: v.name})
	before := s.instancesOf(v)
	o := v.request(at, v.fresh, "/exit")
	v.note("/exit: %v", o)
	s.all.Go(func() { // the one that was asked is the one that ends
		defer end()
		for s.over.Err() == nil && o.code == "bad_answer" && !slices.ContainsFunc(before, harness.Process.Reaped) {
			<-time.After(time.Millisecond)
		}
	})
}

// instancesOf returns the application processes of a service.
func (s *soak) instancesOf(v *service) (list []harness.Process) {
	for _, p := range s.InstanceProcesses("app") {
		if name, _ := serviceOf(p); name == v.name {
			list = append(list, p)
		}
	}
	return list
}

// serviceOf returns the service and the revision whose instance a process is.
func serviceOf(p harness.Process) (service string, revision int) {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.Pid))
	if err != nil {
		return "", 0
	}
	for v := range strings.SplitSeq(string(env), "\x00") {
		if text, is := strings.CutPrefix(v, "GREETING="); is {
			name, number, _ := strings.Cut(text, "/")
			revision, _ = strconv.Atoi(number)
			return name, revision
		}
	}
	return "", 0
}

// parentOf returns the parent of a process, 0 if there is none.
func parentOf(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(f[1])
	return parent
}
