package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/cgroup"
	"github.com/openslipway/slipway/internal/runtime/embedded/disk"
	"github.com/openslipway/slipway/internal/runtime/embedded/egress"
	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// sandbox is a shim and, in namespaces of its own, an init that is ready to become an
// instance.
type sandbox struct {
	name    string
	factory *factory
	dir     string // where its files are now

	group   cgroup.Group
	process *process
	control *net.UnixConn

	userns  *os.File
	staging *stagingMount
	disk    int64  // size in bytes
	device  string // of the disk, see disk.Device
	link    egress.Link

	rootfs *rootfs // nil until the sandbox has a root file system
}

// Files of a sandbox, and of the instance it becomes, in its directory.
const (
	fileStatus  = "status"
	fileOutput0 = "output.0"
	fileOutput1 = "output.1"
	fileSpec    = "spec.json"
	fileCopy    = "spec.copy" // of fileSpec
	fileChanges = "changes"   // of a job, while they are copied
)

// process is the shim of a sandbox. When it ends, the kernel kills everything else in
// the sandbox: the shim is process 1 of a pid namespace around the sandbox's own.
//
// Of a sandbox that an earlier version made, it is the process that sets up the
// sandbox and stays in it as process 1, in the only pid namespace there.
type process struct {
	pid   int
	pidfd *os.File

	// inside is the sandbox's first process, which becomes the application, in this
	// process's pid namespace. Of a sandbox that ended just as it was found, it is 0
	// and the namespaces are nil.
	inside int
	netns  *os.File
	// mntns keeps the mounts. Otherwise the process would unmount them as it
	// dies, and its end would wait for the disk.
	mntns *os.File

	sockets sockets // to reach it
}

// enter opens the namespaces of the sandbox's first process, which is known by a pidfd.
func (p *process) enter(inside int, pidfd *os.File) error {
	var errs [2]error
	p.netns, errs[0] = os.Open("/proc/" + strconv.Itoa(inside) + "/ns/net")
	p.mntns, errs[1] = os.Open("/proc/" + strconv.Itoa(inside) + "/ns/mnt")
	err := errors.Join(errs[:]...)
	// If the process still lives, these files are its own. Otherwise they may
	// belong to another process with the same id.
	if err == nil && ended(pidfd) {
		err = unix.ESRCH
	}
	if err != nil {
		closeFiles(p.netns, p.mntns)
		p.netns, p.mntns = nil, nil
		return err
	}
	p.inside = inside
	return nil
}

// dead reports whether the process has ended.
func (p *process) dead() bool { return ended(p.pidfd) }

// ended reports whether a process has ended.
func ended(pidfd *os.File) bool {
	poll := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
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

// setOOMScore sets how readily the kernel kills what the sandbox will run when the
// machine has no memory left: from 0 to 1000.
func (p *process) setOOMScore(score int) error {
	f, err := os.OpenFile("/proc/"+strconv.Itoa(p.inside)+"/oom_score_adj", os.O_WRONLY, 0)
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
	p.sockets.close()
	closeFiles(p.pidfd, p.netns, p.mntns)
}

func closeFiles(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// build makes a blank sandbox. It returns the name also when it fails: the reaper
// then removes what is left.
func (f *factory) build(ctx context.Context) (s *sandbox, name string, err error) {
	s, name, err = f.tryBuild(ctx)
	if errors.Is(err, fs.ErrNotExist) && f.restore() == nil { // the next try makes another
		f.log.Warn("a directory or control group of all sandboxes was removed: made it again", "err", err)
	}
	return s, name, err
}

// tryBuild is build while nobody removes what it needs.
func (f *factory) tryBuild(ctx context.Context) (s *sandbox, name string, err error) {
	slot, err := f.slots.take()
	if err != nil {
		return nil, "", err
	}
	name = newName(slot)
	s = &sandbox{name: name, factory: f, dir: f.path(dirBlank, name), group: f.slice.Group(name)}
	if err := s.build(ctx, slot); err != nil {
		s.discard()
		return nil, name, fmt.Errorf("make sandbox %s: %w", name, err)
	}
	return s, name, nil
}

func (s *sandbox) build(ctx context.Context, slot int) error {
	if err := s.spawn(ctx); err != nil {
		return err
	}
	if err := s.startInit(ctx, slot); err != nil {
		return fmt.Errorf("start the init: %w", err)
	}
	var err error
	if s.userns, err = os.Open("/proc/" + strconv.Itoa(s.process.inside) + "/ns/user"); err != nil {
		return err
	}
	if err := s.send(handoff.KindSkeleton, s.factory.skeleton, nil); err != nil {
		return err
	}
	// Meanwhile the init mounts the skeleton.
	if err := s.mountDisk(ctx, s.factory.diskSize, s.factory.firstID(slot)); err != nil {
		return err
	}
	if err := admitPeers(s.process.netns, s.factory.home); err != nil {
		return err
	}
	if err := s.process.sockets.make(s.process.netns, s.factory.home); err != nil {
		return fmt.Errorf("make sockets in its network: %w", err)
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

// startInit has the shim start the init.
func (s *sandbox) startInit(ctx context.Context, slot int) error {
	begin := handoff.Begin{
		FirstID:    uint32(s.factory.firstID(slot)),
		ShimID:     uint32(s.factory.shimID(slot)),
		OutputSize: s.factory.outputSize,
	}
	if err := s.send(handoff.KindBegin, begin.Append(nil), nil); err != nil {
		return err
	}
	var pidfd *os.File
	kind, text, err := s.receiveWith(ctx, func() (handoff.Kind, []byte, error) {
		var kind handoff.Kind
		var body []byte
		var err error
		kind, body, pidfd, err = readMessageWithFile(s.control)
		return kind, body, err
	})
	if pidfd != nil {
		defer pidfd.Close()
	}
	if err == nil && (kind != handoff.KindInit || pidfd == nil) {
		err = errors.New(text)
	}
	if err != nil {
		return err
	}
	pid, err := pidOf(pidfd)
	if err != nil {
		return err
	}
	return s.process.enter(pid, pidfd)
}

// pidOf returns the id of a process in this process's pid namespace.
func pidOf(pidfd *os.File) (int, error) {
	path := "/proc/self/fdinfo/" + strconv.Itoa(int(pidfd.Fd()))
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "Pid:"); ok {
			if pid, err := strconv.Atoi(strings.TrimSpace(text)); err == nil && pid > 0 {
				return pid, nil
			}
		}
	}
	return 0, unix.ESRCH
}

// spawn makes the directory, the cgroup and the shim.
func (s *sandbox) spawn(ctx context.Context) error {
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
	pid, pidfd, err := s.factory.spawner.spawn(ctx, handoff.Spawn{IntoCgroup: cgroupDir != nil}, files)
	if err != nil {
		return err
	}
	s.process = &process{pid: pid, pidfd: pidfd}
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
	file, err := s.factory.disks.Make(ctx, s.name, size, owner)
	if err != nil {
		return err
	}
	defer file.Close()
	s.disk = size
	if s.device, err = disk.Device(file); err != nil {
		return err
	}
	s.staging, err = s.factory.mounts.stage(s.name, layers, file)
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

// send sends a message to the shim or the init, with a descriptor unless file is nil.
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
		return fmt.Errorf("send to the sandbox: %w", err)
	}
	return nil
}

// receive waits for the next message of the shim or the init. It returns io.EOF if
// both have died.
func (s *sandbox) receive(ctx context.Context) (handoff.Kind, string, error) {
	return s.receiveWith(ctx, func() (handoff.Kind, []byte, error) { return readMessage(s.control) })
}

// receiveWith is receive with what reads the message.
func (s *sandbox) receiveWith(ctx context.Context, read func() (handoff.Kind, []byte, error)) (handoff.Kind, string, error) {
	stop := context.AfterFunc(ctx, func() { s.control.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	kind, body, err := read()
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

// readMessageWithFile reads a message with which a descriptor may have come.
func readMessageWithFile(conn *net.UnixConn) (kind handoff.Kind, body []byte, file *os.File, err error) {
	head, oob := make([]byte, handoff.HeaderSize), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := conn.ReadMsgUnix(head, oob)
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		return 0, nil, nil, err
	}
	if oobn > 0 {
		if file, err = receivedFile(oob[:oobn], "pidfd of an init"); err != nil {
			return 0, nil, nil, err
		}
	}
	kind, body, err = readMessage(io.MultiReader(bytes.NewReader(head[:n]), conn))
	return kind, body, file, err
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
