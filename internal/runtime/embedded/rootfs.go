package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// rootfs is the root file system of a sandbox: an image's layers under the
// sandbox's disk. It is the same for all instances of the image, so a sandbox can
// have it before an instance is asked for.
type rootfs struct {
	image  string
	layers []string // below the layers' directory
	inodes []inode  // of the layers: an image may be removed and unpacked again
}

// inode identifies a directory, whatever its name.
type inode struct{ dev, ino uint64 }

// rootfs returns the root file system of an image as it is unpacked now.
func (f *factory) rootfs(image string, layers []string) (*rootfs, error) {
	r := &rootfs{image, layers, make([]inode, len(layers))}
	for i, layer := range layers {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(f.layerDir, layer), &st); err != nil {
			return nil, &os.PathError{Op: "lstat", Path: layer, Err: err}
		}
		r.inodes[i] = inode{st.Dev, st.Ino}
	}
	return r, nil
}

func (f *rootfs) equal(g *rootfs) bool {
	return f.image == g.image && slices.Equal(f.inodes, g.inodes)
}

// sendRoot assembles the root file system and sends it to the init. awaitRoot
// waits until the init has entered it.
func (s *sandbox) sendRoot(f *rootfs) error {
	root, err := s.staging.assemble(f.layers)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := s.send(handoff.KindRoot, nil, root); err != nil {
		return err
	}
	s.rootfs = f
	return nil
}

// errNotStarted means that the init could not start the application. The status
// file says why.
var errNotStarted = errors.New("the init could not start it")

// awaitRoot waits until the init has entered the root file system.
func (s *sandbox) awaitRoot(ctx context.Context) error {
	kind, text, err := s.receive(ctx)
	switch {
	case err != nil:
		return err
	case kind == handoff.KindFailed:
		return fmt.Errorf("%w: %s", errNotStarted, text)
	case kind != handoff.KindReady:
		return handoff.ErrMalformed
	}
	return nil
}
