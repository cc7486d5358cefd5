package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/cgroup"
	"github.com/openslipway/slipway/internal/runtime/embedded/egress"
	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// sandbox is a process in namespaces of its own, ready to become an instance.
type sandbox struct {
	name    string
	factory *factory
	dir     string // where its files are now

	group   cgroup.Group
	process *process
	control *net.UnixConn

	userns  *os.File
	staging *stagingMount
	disk    int64 // size in bytes
	link    egress.Link

	rootfs *rootfs // nil until the sandbox has a root file system
}

// Files of a sandbox, and of the instance it becomes, in its directory.
const (
	fileStatus  = "status"
	fileOutput0 = "output.0"
	fileOutput1 = "output.1"
	fileSpec    = "spec.json"
	fileChanges = "changes" // of a job, while they are copied
)

// process is the init of a sandbox. When it ends, the kernel kills everything
// else in the sandbox.
type process struct {
	pid   int
	pidfd *os.File
	netns *os.File
	// mntns keeps the mounts. Otherwise the process would unmount them as it
	// dies, and its end would wait for the disk.
	mntns *os.File
}

// openProcess opens the descriptors of a process that is known to live.
func openProcess(pid int, pidfd *os.File) (*process, error) {
	p := &process{pid: pid, pidfd: pidfd}
	var errs [2]error
	p.netns, errs[0] = os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	p.mntns, errs[1] = os.Open("/proc/" + strconv.Itoa(pid) + "/ns/mnt")
	// If the process still lives, these files are its own. Otherwise they may
	// belong to another process with the same id.
	if err := errors.Join(errs[:]...); err != nil || p.dead() {
		p.release()
		if err == nil {
			err = unix.ESRCH
		}
		return nil, err
	}
	return p, nil
}

// dead reports whether the process has ended.
func (p *process) dead() bool {
	poll := []unix.PollFd{{Fd: int32(p.pidfd.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, 0)
		if err == unix.EINTR {
			continue
		}
		return err != nil || n > 0
	}
}

// wait waits until the process has ended. It blocks a thread: it is for processes
// that were killed.
func (p *process) wait() error {
	poll := []unix.PollFd{{Fd: int32(p.pidfd.Fd()), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(poll, -1); err != unix.EINTR {
			return err
		}
	}
}

// setOOMScore sets how readily the kernel kills what the process will start when the
// machine has no memory left: from 0 to 1000.
func (p *process) setOOMScore(score int) error {
	f, err := os.OpenFile("/proc/"+strconv.Itoa(p.pid)+"/oom_score_adj", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if p.dead() { // then the file may be another process's
		return unix.ESRCH
	}
	_, err = f.WriteString(strconv.Itoa(score))
	return err
}

// kill kills the process, and with it all processes in its pid namespace.
func (p *process) kill() error {
	err := unix.PidfdSendSignal(int(p.pidfd.Fd()), unix.SIGKILL, nil, 0)
	if err == unix.ESRCH {
		return nil
	}
	return err
}

// release closes the descriptors. It may take as long as unmounting does.
func (p *process) release() {
	for _, f := range []*os.File{p.pidfd, p.netns, p.mntns} {
		if f != nil {
			f.Close()
		}
	}
}

// build makes a blank sandbox. It returns the name also when it fails: the reaper
// then removes what is left.
func (f *factory) build(ctx context.Context) (s *sandbox, name string, err error) {
	slot, err := f.slots.take()
	if err != nil {
		return nil, "", err
	}
	name = newName(slot)
	s = &sandbox{name: name, factory: f, dir: f.path(dirBlank, name), group: f.slice.Group(name)}
	if err := s.build(ctx, f.firstID(slot)); err != nil {
		s.discard()
		return nil, name, fmt.Errorf("make sandbox %s: %w", name, err)
	}
	return s, name, nil
}

func (s *sandbox) build(ctx context.Context, firstID int) error {
	if err := s.spawn(ctx, firstID); err != nil {
		return err
	}
	var err error
	if s.userns, err = os.Open("/proc/" + strconv.Itoa(s.process.pid) + "/ns/user"); err != nil {
		return err
	}
	if err := s.send(handoff.KindSkeleton, s.factory.skeleton, nil); err != nil {
		return err
	}
	// Meanwhile the init mounts the skeleton.
	if err := s.mountDisk(ctx, s.factory.diskSize, firstID); err != nil {
		return err
	}
	if err := admitPeers(s.process.netns, s.factory.home); err != nil {
		return err
	}
	if e := s.factory.egress; e != nil {
		if s.link, err = e.Attach(ctx, s.name, s.process.netns); err != nil {
			return fmt.Errorf("attach to the network: %w", err)
		}
	}
	kind, text, err := s.receive(ctx)
	if err == nil && kind != handoff.KindReady {
		err = errors.New(text)
	}
	if err != nil {
		return fmt.Errorf("mount the skeleton: %w", err)
	}
	return nil
}

// spawn makes the directory, the cgroup and the process.
func (s *sandbox) spawn(ctx context.Context, firstID int) error {
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return err
	}
	if err := s.group.Create(); err != nil {
		return fmt.Errorf("make its cgroup: %w", err)
	}
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	conn, theirs, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	s.control, files = conn, append(files, theirs)
	for _, name := range []string{fileStatus, fileOutput0, fileOutput1} {
		f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	cgroupDir, err := s.group.Open()
	if err != nil {
		return fmt.Errorf("open its cgroup: %w", err)
	}
	if cgroupDir != nil {
		files = append(files, cgroupDir)
	}
	request := handoff.Spawn{FirstID: uint32(firstID), IDs: idsPerSandbox, IntoCgroup: cgroupDir != nil}
	pid, pidfd, err := s.factory.spawner.spawn(ctx, request, files)
	if err != nil {
		return err
	}
	if s.process, err = openProcess(pid, pidfd); err != nil {
		return err
	}
	if err := s.group.Add(pid); err != nil {
		return fmt.Errorf("move into its cgroup: %w", err)
	}
	return nil
}

// mountDisk makes a disk and mounts it, and the layers, on a staging mount.
func (s *sandbox) mountDisk(ctx context.Context, size int64, owner int) error {
	layers, err := mappedTree(s.factory.layerDir, s.userns, false)
	if err != nil {
		return err
	}
	defer layers.Close()
	disk, err := s.factory.disks.Make(ctx, s.name, size, owner)
	if err != nil {
		return err
	}
	defer disk.Close()
	s.disk = size
	s.staging, err = s.factory.mounts.stage(s.name, layers, disk)
	return err
}

// resize replaces the disk, which is still unused, by one of another size.
func (s *sandbox) resize(ctx context.Context, size int64) error {
	if size == s.disk {
		return nil
	}
	if err := s.staging.close(); err != nil {
		return err
	}
	if err := s.factory.disks.Remove(s.name); err != nil {
		return err
	}
	return s.mountDisk(ctx, size, s.factory.firstID(slotOf(s.name)))
}

// confine lets the sandbox reach only these networks. Without names it reaches
// what every sandbox does. A driver without egress reaches nothing in any case.
func (s *sandbox) confine(ctx context.Context, networks []string) (err error) {
	if s.factory.egress == nil || len(networks) == 0 {
		return nil
	}
	s.link, err = s.factory.egress.Confine(ctx, s.name, networks)
	return err
}

// cut takes the sandbox's way to the outside.
func (s *sandbox) cut(ctx context.Context) error {
	if s.factory.egress == nil {
		return nil
	}
	return s.factory.egress.Cut(ctx, s.name, s.process.netns)
}

// send sends a message to the init, with a descriptor unless file is nil.
func (s *sandbox) send(kind handoff.Kind, body []byte, file *os.File) error {
	b := append(handoff.AppendHeader(make([]byte, 0, handoff.HeaderSize+len(body)), kind, len(body)), body...)
	var oob []byte
	if file != nil {
		oob = unix.UnixRights(int(file.Fd()))
	}
	n, _, err := s.control.WriteMsgUnix(b, oob, nil)
	if err == nil && n < len(b) {
		_, err = s.control.Write(b[n:])
	}
	if err != nil {
		return fmt.Errorf("send to the init: %w", err)
	}
	return nil
}

// receive waits for the init's next message. It returns io.EOF if the init has
// died.
func (s *sandbox) receive(ctx context.Context) (handoff.Kind, string, error) {
	stop := context.AfterFunc(ctx, func() { s.control.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	kind, body, err := readMessage(s.control)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF):
		err = io.EOF
	}
	return kind, string(body), err
}

func readMessage(r io.Reader) (handoff.Kind, []byte, error) {
	head := make([]byte, handoff.HeaderSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	kind, size, err := handoff.ParseHeader(head)
	if err != nil {
		return 0, nil, err
	}
	body := make([]byte, size)
	_, err = io.ReadFull(r, body)
	return kind, body, err
}

// detach closes what only a blank sandbox needs.
func (s *sandbox) detach() {
	if s.control != nil {
		s.control.Close()
	}
	if s.userns != nil {
		s.userns.Close()
	}
	if s.staging != nil {
		s.staging.close() // an error means that the mount namespace is gone already
	}
}

// discard ends a sandbox that does not become an instance. The reaper removes
// what is left of it.
func (s *sandbox) discard() {
	if s.process != nil {
		s.process.kill()
	}
	s.detach()
	if s.process != nil {
		s.process.release()
	}
}
