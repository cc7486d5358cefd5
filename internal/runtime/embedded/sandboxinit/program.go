package sandboxinit

import (
	"errors"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// Exit codes of instances whose application could not be executed: those of
// shells and Docker.
const (
	codeNotSetUp      = 125
	codeNotExecutable = 126
	codeNotFound      = 127
)

// execError is why the application could not be executed, for people.
type execError struct {
	reason string
	code   int
}

func (e *execError) Error() string { return e.reason }

// ended is the record of an instance that did not start.
func ended(err error) handoff.Ended {
	e := handoff.Ended{Code: codeNotSetUp, At: now(), Reason: err.Error()}
	var x *execError
	if errors.As(err, &x) {
		e.Code = x.code
	}
	return e
}

// findProgram returns the file that argv[0] names. A name without a slash is
// looked up in the PATH of env.
func findProgram(argv, env []string) (string, error) {
	if len(argv) == 0 || argv[0] == "" {
		return "", &execError{"there is no command to run: the image has neither an entrypoint nor a command", codeNotFound}
	}
	name := argv[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	var denied string
	path := lookup(env, "PATH")
	for rest, more := path, true; more; {
		var dir string
		dir, rest, more = strings.Cut(rest, ":")
		if dir == "" {
			dir = "."
		}
		file := strings.TrimSuffix(dir, "/") + "/" + name
		var st unix.Stat_t
		if unix.Stat(file, &st) != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR {
			continue
		}
		if st.Mode&0o111 != 0 {
			return file, nil
		}
		denied = file
	}
	if denied != "" {
		return "", &execError{"exec " + denied + ": permission denied (it is not executable)", codeNotExecutable}
	}
	return "", &execError{"exec " + name + ": no such program in the PATH of the image (" + path + ")", codeNotFound}
}

// explainExec says why a file could not be executed.
func explainExec(path string, err error) error {
	if err == nil {
		return nil
	}
	x := &execError{"exec " + path + ": " + err.Error(), codeNotExecutable}
	var st unix.Stat_t
	exists := unix.Stat(path, &st) == nil
	switch {
	case err == unix.ENOENT && !exists:
		x.code = codeNotFound
	case err == unix.ENOENT:
		x.reason += " (the file is there: what is missing is its interpreter, the dynamic loader of a binary or what a script's first line names)"
	case err == unix.EACCES && exists && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		x.reason = "exec " + path + ": is a directory"
	case err == unix.EACCES && exists && st.Mode&0o111 == 0:
		x.reason += " (it is not executable)"
	case err == unix.EACCES:
		x.reason += " (may the image's user read and execute it?)"
	case err == unix.ENOEXEC && is32Bit(path):
		x.reason += " (it is a 32-bit program, which this machine's kernel or processor does not run)"
	case err == unix.ENOEXEC:
		x.reason += " (it is neither a program for " + runtime.GOARCH + " nor a script whose first line begins with #!)"
	case err == unix.E2BIG:
		x.reason += " (arguments and environment together are too large)"
	}
	return x
}

// is32Bit reports whether a file begins like an ELF program of 32 bits.
func is32Bit(path string) bool {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var head [5]byte
	n, err := unix.Read(fd, head[:])
	return err == nil && n == len(head) && string(head[:]) == "\x7fELF\x01"
}

// lookup returns a variable's value in env. If it is set twice, the last counts.
func lookup(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if key, value, _ := strings.Cut(env[i], "="); key == name {
			return value
		}
	}
	return ""
}

// withHome returns env with HOME, unless that is set to more than nothing.
func withHome(env []string, home string) []string {
	if lookup(env, "HOME") != "" {
		return env
	}
	var other []string
	for _, e := range env {
		if !strings.HasPrefix(e, "HOME=") {
			other = append(other, e)
		}
	}
	return append(other, "HOME="+home)
}
