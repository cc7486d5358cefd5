package harness

import (
	"fmt"
	"os"
	"os/exec"
	"slices"

	"golang.org/x/sys/unix"
)

// Upgrade runs `slipway upgrade` with these flags. If it succeeds, the server is another
// process afterwards, which must have said by then that it serves.
func (s *Server) Upgrade(flags ...string) (output string, err error) {
	s.T.Helper()
	return s.UpgradeWith(os.Environ(), flags...)
}

// UpgradeWith is Upgrade with an environment of the command.
func (s *Server) UpgradeWith(env []string, flags ...string) (output string, err error) {
	s.T.Helper()
	before := s.PID
	output, err = s.TryUpgrade(env, flags...)
	if err != nil {
		return output, err
	}
	s.Adopt(before)
	return output, nil
}

// TryUpgrade runs the command only: which process the server is afterwards is not known.
func (s *Server) TryUpgrade(env []string, flags ...string) (output string, err error) {
	cmd := exec.Command(s.Binary, append([]string{"upgrade", "--data-dir", s.DataDir}, flags...)...)
	cmd.Env = append(slices.Clip(env), "NO_COLOR=1")
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// TryTakeOver runs a server that is to take over, with further flags, and waits until it has
// ended, which it must do by itself.
func (s *Server) TryTakeOver(flags ...string) (output string, err error) {
	cmd := exec.Command(s.Binary, append(append(slices.Clone(s.args), "--take-over"), flags...)...)
	cmd.Env = s.environment()
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// Adopt makes the process of the ready file the server's, after a TryUpgrade that has
// succeeded.
func (s *Server) Adopt(before int) {
	s.T.Helper()
	s.awaitReady(true, func(pid int) bool { return pid != before })
	s.adopt()
}

// adopt makes the process of the ready file the server's. Another process started it.
func (s *Server) adopt() {
	s.T.Helper()
	p, err := os.FindProcess(s.PID)
	if err != nil {
		s.T.Fatal(err)
	}
	fd, err := unix.PidfdOpen(s.PID, 0)
	if err != nil {
		s.T.Fatalf("the server is process %d: %v", s.PID, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer unix.Close(fd)
		for {
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != unix.EINTR {
				return
			}
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.former = append(s.former, former{s.process, s.done})
	s.process, s.done, s.err = p, done, nil
}

// TakeOver starts another process of the server, which takes over from the one that runs,
// and does not wait for it. The one that runs is the former then.
func (s *Server) TakeOver(flags ...string) {
	s.T.Helper()
	s.mu.Lock()
	f := former{s.process, s.done}
	s.former = append(s.former, f)
	s.mu.Unlock()
	s.begin(append([]string{"--take-over"}, flags...)...)
}

// GiveBack makes the former process, which runs on, the server's again.
func (s *Server) GiveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.former[len(s.former)-1]
	s.former = s.former[:len(s.former)-1]
	s.process, s.done, s.err = last.process, last.done, nil
	s.PID = last.process.Pid
}

// FormerRuns reports whether the process runs that the present one took over from.
func (s *Server) FormerRuns() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.former[len(s.former)-1].done:
		return false
	default:
		return true
	}
}

// KillFormer kills it.
func (s *Server) KillFormer() {
	s.mu.Lock()
	f := s.former[len(s.former)-1]
	s.mu.Unlock()
	f.process.Kill()
	<-f.done
}

// AwaitFormers waits until all processes have ended that others took over from.
func (s *Server) AwaitFormers() {
	s.T.Helper()
	Eventually(s.T, "the former servers end", func() (bool, string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, f := range s.former {
			select {
			case <-f.done:
			default:
				return false, fmt.Sprintf("process %d runs", f.process.Pid)
			}
		}
		return true, ""
	})
}

// AwaitServing waits until the process that was started last says that it serves.
func (s *Server) AwaitServing() {
	s.T.Helper()
	p, _ := s.running()
	s.awaitReady(false, func(pid int) bool { return p != nil && pid == p.Pid })
}

// LastPID returns the id of the process that was started last.
func (s *Server) LastPID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.Pid
}
