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

// furniture is the root file system that a sandbox has been given: an image's
// layers under its disk. It is the same for all instances of the image, so it
// may be given before one is asked for.
type furniture struct {
	image  string
	layers []string // below the layers' directory
	inodes []inode  // theirs: an image may be removed and unpacked again
}

// inode is what a directory is, whatever its name.
type inode struct{ dev, ino uint64 }

// furniture returns an image as it is now.
func (y *yard) furniture(image string, layers []string) (*furniture, error) {
	f := &furniture{image, layers, make([]inode, len(layers))}
	for i, layer := range layers {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(y.layerDir, layer), &st); err != nil {
			return nil, &os.PathError{Op: "lstat", Path: layer, Err: err}
		}
		f.inodes[i] = inode{st.Dev, st.Ino}
	}
	return f, nil
}

func (f *furniture) equal(g *furniture) bool {
	return f.image == g.image && slices.Equal(f.inodes, g.inodes)
}

// furnish assembles the root file system and sends it to the init, which enters
// it; furnished waits for that.
func (s *sandbox) furnish(f *furniture) error {
	root, err := s.bench.assemble(f.layers)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := s.send(handoff.KindRoot, nil, root); err != nil {
		return err
	}
	s.furniture = f
	return nil
}

// errNotStarted says of an instance that its init could not do as it was told,
// and has written down why.
var errNotStarted = errors.New("the init could not do it")

// furnished waits until the init has entered the root file system.
func (s *sandbox) furnished(ctx context.Context) error {
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
