package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// checkOwner refuses a file or directory that a user other than the server's or root owns
// or may write: that user could change the database, the keys and what runs. What does not
// exist passes. what names it in the error.
func checkOwner(what, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the owner of %s: %w", what, err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("read the owner of %s: the system does not tell", what)
	}
	return ownerError(what, path, info.Mode(), st.Uid, uint32(os.Geteuid()))
}

// ownerError decides by the mode and the owner, for a server that runs as user.
func ownerError(what, path string, mode fs.FileMode, owner, user uint32) error {
	if owner != 0 && owner != user {
		return fmt.Errorf("%s %s belongs to the user with id %d, who could change it; it must belong to the one with id %d, which the server runs as: chown it, or name another", what, path, owner, user)
	}
	// In a directory with the sticky bit others can't rename or remove what is not theirs.
	if mode.Perm()&0o022 != 0 && (!mode.IsDir() || mode&fs.ModeSticky == 0) {
		return fmt.Errorf("%s %s has the mode %s: others than its owner may write it; run chmod go-w on it, or name another", what, path, mode.Perm())
	}
	return nil
}

// checkKeyOwner checks the key file and the directory that it is in.
func checkKeyOwner(file string) error {
	if err := checkOwner("the key file", file); err != nil {
		return err
	}
	return checkOwner("the key file's directory", filepath.Dir(file))
}
