package embedded

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// initFiles has the instances' first process in it, if it was built before
// this package.
//
//go:embed initbin
var initFiles embed.FS

const initFile = "initbin/slipway-init"

// checkInit reports whether the init is built in. It is read when it is started:
// a copy would stay in memory for as long as the daemon.
func checkInit() error {
	if _, err := fs.Stat(initFiles, initFile); err != nil {
		return errors.New("this program was built without its init: run `make init`, then build it again")
	}
	return nil
}

// programFile returns a program, nil for the one built in, as a file in memory
// that can be executed and no longer be changed.
func programFile(program []byte) (*os.File, error) {
	if program == nil {
		var err error
		if program, err = initFiles.ReadFile(initFile); err != nil {
			return nil, err
		}
	}
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("slipway-init", flags|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3, where all can be executed
		fd, err = unix.MemfdCreate("slipway-init", flags)
	}
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "slipway-init")
	if _, err := f.Write(program); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, errors.Join(fmt.Errorf("seal the init: %w", err), f.Close())
	}
	return f, nil
}
