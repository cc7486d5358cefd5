package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/daemon"
)

// launchName is the name by which this program starts another one and ends. The other one
// then is no child of the server that it replaces: systemd, or whoever adopts orphans, sees
// it end while that server still has requests.
const launchName = "slipway-launch"

// launchWanted reports whether this process was started to start another.
func launchWanted(args []string) bool { return len(args) > 1 && args[0] == launchName }

// launchMain starts the program that the arguments name and writes its process id, or an
// error, to descriptor 3. It returns the exit code.
func launchMain(args []string) int {
	const fd = 3
	unix.CloseOnExec(fd) // the reader waits until nobody has it
	answer := os.NewFile(fd, "answer")
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(answer, err)
		return exitFailed
	}
	fmt.Fprintln(answer, cmd.Process.Pid)
	return exitOK
}

// launcher returns what starts the successor of the server that runs in this process, with
// the arguments and the environment of the latter.
func launcher(pid int) (func(daemon.Renewal) (int, error), error) {
	program, err := os.Executable() // where it is now: it may be replaced later
	if err != nil {
		return nil, err
	}
	args := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(a string) bool { return strings.HasPrefix(a, "--take-over") })
	environment := os.Environ()
	return func(r daemon.Renewal) (int, error) {
		if pid == 1 {
			return 0, errors.New("the server is process 1 of its container, which ends with it: start a new container on the volume instead")
		}
		if r.Program == "" {
			r.Program = program
		}
		return launch(r, args, environment)
	}, nil
}

// launch starts a program with these arguments and the variables of a renewal. It returns
// the id of the process, which is nobody's child.
func launch(r daemon.Renewal, args, environment []string) (int, error) {
	answer, theirs, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer answer.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{launchName, r.Program}, append(slices.Clone(args), "--take-over")...)
	cmd.Env = environment
	if r.Environment != nil {
		cmd.Env = slices.DeleteFunc(slices.Clone(environment), isSetting)
		cmd.Env = append(cmd.Env, slices.DeleteFunc(slices.Clone(r.Environment), func(v string) bool { return !isSetting(v) })...)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", r.Program, err)
	}
	text, err := io.ReadAll(io.LimitReader(answer, 4<<10))
	_ = cmd.Wait() // the answer tells how it went
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", r.Program, err)
	}
	said := strings.TrimSpace(string(text))
	pid, err := strconv.Atoi(said)
	if err != nil {
		return 0, fmt.Errorf("start %s: %s", r.Program, said)
	}
	return pid, nil
}

// isSetting reports whether a variable is a setting of a server.
func isSetting(variable string) bool { return strings.HasPrefix(variable, "SLIPWAY_") }
