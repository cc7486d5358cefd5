package embedded

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// initFiles has cmd/slipway-init in it, if that was built before this package.
//
//go:embed initbin
var initFiles embed.FS

const initFile = "initbin/slipway-init"

// checkInit reports whether there is a program to start sandboxes with. The one
// embedded is read when it is started: a copy would stay in memory for as long
// as the daemon.
func (c *Config) checkInit() error {
	if c.Init != nil || c.SelfInit {
		return nil
	}
	if _, err := fs.Stat(initFiles, initFile); err != nil {
		return errors.New("this program embeds no init and cannot serve as one: run `make init`, then build it again")
	}
	return nil
}

// initProgram opens the program that sandboxes are started with: the given one,
// the embedded one, or the running program, in this order.
func initProgram(given []byte) (*os.File, error) {
	if given != nil {
		return programFile(given)
	}
	embedded, err := initFiles.ReadFile(initFile)
	if errors.Is(err, fs.ErrNotExist) {
		return os.Open("/proc/self/exe") // checkInit has seen that it may
	}
	if err != nil {
		return nil, err
	}
	return programFile(embedded)
}

// programFile returns a program as a file in memory that can be executed and no
// longer be changed.
func programFile(program []byte) (*os.File, error) {
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
