package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

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

// foundImages is how many images a driver knows the layers of.
const foundImages = 256

// found are the layers of images that were looked up before, by image. An image's layers
// never change; they may be gone.
type found struct {
	mu     sync.Mutex
	layers map[string][]string
}

func (k *found) get(image string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.layers[image]
}

// set notes the layers of an image. Without layers the image is forgotten.
func (k *found) set(image string, layers []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if layers == nil {
		delete(k.layers, image)
		return
	}
	if k.layers == nil || len(k.layers) >= foundImages {
		k.layers = map[string][]string{} // those in use are soon known again
	}
	k.layers[image] = layers
}

// rootfs returns the root file system of an image. It unpacks the layers that are missing.
// Of an image that it has looked up before, it looks only whether its layers are still there.
func (d *Driver) rootfs(ctx context.Context, image string) (*rootfs, error) {
	if layers := d.found.get(image); layers != nil {
		if f, err := d.factory.rootfs(image, layers); err == nil {
			return f, nil
		}
		d.found.set(image, nil)
	}
	layers, err := d.layers(ctx, image)
	if err != nil {
		return nil, err
	}
	f, err := d.factory.rootfs(image, layers)
	if err == nil {
		d.found.set(image, layers)
	}
	return f, err
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
