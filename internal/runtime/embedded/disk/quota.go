package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// quotas keeps disks as directories under project quotas.
type quotas struct {
	dir string

	mu   sync.Mutex // guards last
	last uint32     // project id given out most recently; 0: none yet
}

// firstProject is above what people put into /etc/projects.
const firstProject = 0x51000000

func (*quotas) kind() Kind { return Quota }

func (q *quotas) make(_ context.Context, name string, size int64) (*os.File, error) {
	if err := q.enforced(); err != nil {
		return nil, err
	}
	project, err := q.project()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(q.dir, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, err
	}
	tree, err := q.bind(path, project, size)
	if err != nil {
		return nil, errors.Join(err, q.remove(name))
	}
	return tree, nil
}

// bind puts an empty directory under a quota and returns a mount of it.
func (q *quotas) bind(path string, project uint32, size int64) (*os.File, error) {
	if err := setProject(path, project); err != nil {
		return nil, fmt.Errorf("set the project of %s: %w", path, err)
	}
	if err := setLimit(path, project, size); err != nil {
		return nil, fmt.Errorf("set the quota of %s: %w", path, err)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// remove removes what is left when the mount is gone. It may be of another kind.
func (q *quotas) remove(name string) error {
	path := filepath.Join(q.dir, name)
	attr, err := attributes(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	if attr.project < firstProject {
		return nil // it never came under a quota
	}
	return setLimit(q.dir, attr.project, 0)
}

// names returns the disks that left something.
func (q *quotas) names() ([]string, error) { return entries(q.dir) }

// project returns an id that no directory has.
func (q *quotas) project() (uint32, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == 0 {
		q.last = firstProject
		names, err := q.names()
		if err != nil {
			return 0, err
		}
		for _, name := range names {
			if attr, err := attributes(filepath.Join(q.dir, name)); err == nil {
				q.last = max(q.last, attr.project)
			}
		}
	}
	q.last++
	return q.last, nil
}

// fsxattr is the kernel's struct.
type fsxattr struct {
	flags      uint32
	extentSize uint32
	extents    uint32
	project    uint32
	cowExtent  uint32
	_          [8]byte
}

const (
	ioctlGetAttributes = 0x801c581f // FS_IOC_FSGETXATTR
	ioctlSetAttributes = 0x401c5820 // FS_IOC_FSSETXATTR
	flagInherit        = 0x200      // FS_XFLAG_PROJINHERIT
)

func attributes(path string) (attr fsxattr, err error) {
	f, err := os.Open(path)
	if err != nil {
		return attr, err
	}
	defer f.Close()
	return attr, ioctl(f, ioctlGetAttributes, unsafe.Pointer(&attr))
}

// setProject makes a directory, and what will be made in it, a project's.
func setProject(path string, project uint32) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var attr fsxattr
	if err := ioctl(f, ioctlGetAttributes, unsafe.Pointer(&attr)); err != nil {
		return err
	}
	attr.project = project
	attr.flags |= flagInherit
	return ioctl(f, ioctlSetAttributes, unsafe.Pointer(&attr))
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// diskQuota is the kernel's struct fs_disk_quota. Sizes are in units of 512
// bytes.
type diskQuota struct {
	version   int8
	flags     int8
	fields    uint16
	id        uint32
	blockHard uint64
	blockSoft uint64
	inodeHard uint64
	inodeSoft uint64
	_         [72]byte
}

// quotaState is the kernel's struct fs_quota_statv.
type quotaState struct {
	version int8
	_       uint8
	flags   uint16
	_       [156]byte
}

const (
	projectQuota    = 2           // PRJQUOTA
	setQuota        = 'X'<<8 + 4  // Q_XSETQLIM
	getState        = 'X'<<8 + 8  // Q_XGETQSTATV
	projectEnforced = 1 << 5      // FS_QUOTA_PDQ_ENFD
	setHardLimits   = 1<<1 | 1<<3 // FS_DQ_IHARD, FS_DQ_BHARD
	bytesPerInode   = 16 << 10    // as mkfs.ext4 has it
	versionOne      = 1
	projectFlag     = 2 // FS_PROJ_QUOTA
)

// enforced reports an error unless the directory's file system enforces
// project quotas.
func (q *quotas) enforced() error {
	state := quotaState{version: versionOne}
	if err := quotactl(q.dir, getState, 0, unsafe.Pointer(&state)); err != nil {
		return fmt.Errorf("the file system has no project quotas: %w", err)
	}
	if state.flags&projectEnforced == 0 {
		return errors.New("the file system is mounted without project quotas")
	}
	return nil
}

// setLimit bounds a project, in space and in number of files. 0 lifts it.
func setLimit(path string, project uint32, size int64) error {
	limit := diskQuota{
		version:   versionOne,
		flags:     projectFlag,
		fields:    setHardLimits,
		id:        project,
		blockHard: uint64(size) / 512,
		inodeHard: uint64(size) / bytesPerInode,
	}
	return quotactl(path, setQuota, project, unsafe.Pointer(&limit))
}

func quotactl(path string, command uintptr, id uint32, arg unsafe.Pointer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, f.Fd(), command<<8|projectQuota, uintptr(id), uintptr(arg), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
