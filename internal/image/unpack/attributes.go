package unpack

import (
	"archive/tar"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/image/pack"
)

const (
	paxXattr = "SCHILY.xattr."
	maxXattr = 64 << 10 // bytes of a value, XATTR_SIZE_MAX
)

// keptXattr returns the value to keep of an extended attribute, and whether to keep it.
// user.overlay.* is left out: overlayfs obeys it when mounted with userxattr. File
// capabilities are those of a regular file.
func keptXattr(name, value string, file bool) (string, bool) {
	if name == pack.AttributeCapability {
		if !file {
			return "", false
		}
		return pack.PlainCapability(value, 0)
	}
	return value, strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.")
}

// attributes sets the entry's extended attributes in the user namespace, and file
// capabilities. They are optional: a file system that does not support one leaves it
// out. The kernel removes capabilities when a file's owner changes, so this comes after.
//
// The error is that of the image's budget.
func (t *tree) attributes(h *tar.Header, fd int) error {
	for record, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(record, paxXattr)
		if ok {
			value, ok = keptXattr(name, value, h.Typeflag != tar.TypeDir)
		}
		if !ok {
			continue
		}
		if err := t.spend(Cost{Written: int64(len(name) + len(value))}); err != nil {
			return err
		}
		if err := unix.Fsetxattr(fd, name, []byte(value), 0); err != nil {
			t.log.Debug("left an extended attribute out of a layer", "name", h.Name, "attribute", name, "err", err)
		}
	}
	return nil
}

// finish sets owner, mode and time of an entry that can't be opened.
func finish(h *tar.Header, parent int, base string) error {
	if err := unix.Fchownat(parent, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeSymlink {
		// mknodat has just made it in a directory that nobody else can reach,
		// so base is not a symbolic link that fchmodat could follow.
		if err := unix.Fchmodat(parent, base, mode(h), 0); err != nil {
			return err
		}
	}
	ts := timespec(h)
	return unix.UtimesNanoAt(parent, base, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

func mode(h *tar.Header) uint32 { return uint32(h.Mode & 0o7777) }

func timespec(h *tar.Header) unix.Timespec {
	return unix.Timespec{Sec: h.ModTime.Unix(), Nsec: int64(h.ModTime.Nanosecond())}
}
