package confine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Address is where the caller's listener is inside of the program's network.
const Address = "127.0.0.1:1080"

// Command is one run of a program.
type Command struct {
	Program string   // absolute, below one of the system's directories
	Args    []string // without the program's name
	Env     []string // all that the program gets
	Dir     string   // absolute, in the program's view
	Binds   []Bind
	Root    string // an empty directory of the host, on which the root is mounted
	User    int    // id of user and group, for a caller who is root; 0: the caller's own
	Limits  Limits

	Stdin          io.Reader
	Stdout, Stderr io.Writer

	// Serve accepts the connections that the program makes to Address, until the
	// listener is closed. nil: the program has no network at all.
	Serve func(net.Listener)
}

// Bind shows a directory or a file of the host to the program. Device files and
// setuid bits in it have no effect.
type Bind struct {
	Source string // absolute, of the host
	Target string // absolute, in the program's view; not below another bind
	Write  bool
}

// Limits of each process. 0: no limit.
type Limits struct {
	Memory    uint64 // bytes of address space
	FileSize  uint64 // bytes of one file
	Files     uint64 // open files
	Processes uint64 // of the user, in all runs at a time
}

// order is what the process in the namespaces is told.
type order struct {
	Program string
	Args    []string
	Env     []string
	Dir     string
	Binds   []Bind
	Root    string
	User    int
	Limits  Limits
	Listen  bool
}

// descriptors of the process in the namespaces.
const (
	orderFD   = 3
	controlFD = 4
)

const (
	name      = "slipway-confine" // its argument 0
	waitDelay = 5 * time.Second   // for the ends of its output, after it was killed
)

// Run runs the program to its end. When ctx ends it kills the program with all
// processes that it has started. A program that ran and failed is an
// *exec.ExitError. An error of Stdout ends the run, too, and is returned: the program
// is the first of its namespace, so a broken pipe would not end it.
func (c Command) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if c.Stdout != nil {
		c.Stdout = output{c.Stdout, cancel}
	}
	mine, its, err := socketPair()
	if err != nil {
		return err
	}
	defer mine.Close()
	defer its.Close()
	spec, err := c.order()
	if err != nil {
		return err
	}
	defer spec.Close()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{name}
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.ExtraFiles = []*os.File{spec, its}
	cmd.WaitDelay = waitDelay
	cmd.SysProcAttr = attributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a confined process: %w", err)
	}
	its.Close()
	l, failed := c.await(mine)
	if l != nil {
		// Its network may be gone before Serve has seen the last connection.
		defer l.Close()
		go c.Serve(l)
	}
	err = cmd.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if failed != nil {
		return failed
	}
	return err
}

// output ends the run when it cannot be written.
type output struct {
	io.Writer
	end context.CancelCauseFunc
}

func (o output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		o.end(err)
	}
	return n, err
}

// attributes of the process: its namespaces, and for a caller who is not root a
// user namespace in which it is.
func attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  unix.SIGKILL,
	}
	if uid := os.Geteuid(); uid != 0 {
		a.Cloneflags |= unix.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return a
}

// order returns a file with the order in it.
func (c Command) order() (*os.File, error) {
	o := order{
		Program: c.Program, Args: c.Args, Env: c.Env, Dir: c.Dir, Binds: c.Binds,
		Root: c.Root, User: c.User, Limits: c.Limits, Listen: c.Serve != nil,
	}
	if os.Geteuid() != 0 {
		o.User = 0
	}
	body, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	// A file in memory, not a pipe: credentials are in it, and nobody waits.
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.WriteAt(body, 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func socketPair() (mine, its *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}

// maxMessage bounds the message of a process that could not be confined.
const maxMessage = 4 << 10

// await waits until the program runs. It returns the listener in its network, if
// there is one, or why the program could not be started.
func (c Command) await(control *os.File) (net.Listener, error) {
	var l net.Listener
	for {
		text, rights := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4))
		n, oobn, err := receive(control, text, rights)
		switch {
		case err != nil:
			err = fmt.Errorf("hear of a confined process: %w", err)
		case oobn > 0:
			if l, err = listener(rights[:oobn]); err == nil {
				continue
			}
		case n > 0:
			err = fmt.Errorf("confine %s: %s", c.Program, text[:n])
		}
		if err != nil && l != nil {
			l.Close()
		}
		return l, err // without a message: its end was closed when it was executed
	}
}

func receive(control *os.File, text, rights []byte) (n, oobn int, err error) {
	for {
		n, oobn, _, _, err = unix.Recvmsg(int(control.Fd()), text, rights, unix.MSG_CMSG_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			return n, oobn, err
		}
	}
}

// listener returns the listener that a message brought.
func listener(rights []byte) (net.Listener, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("a confined process sent no descriptor"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("a confined process sent no descriptor"), err)
	}
	f := os.NewFile(uintptr(fds[0]), "listener")
	defer f.Close()
	return net.FileListener(f)
}
