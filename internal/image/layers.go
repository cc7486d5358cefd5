package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/image/unpack"
)

// layerNote is the metadata file of an unpacked layer.
type layerNote struct {
	Bytes   int64 `json:"bytes"` // of its files
	Entries int   `json:"entries"`
	// Written is what unpacking wrote to the disk, in bytes: see [unpack.Cost].
	Written int64 `json:"written,omitempty"`
	// Tar is the size of the tar that package pack makes of the directory, in
	// bytes: set for layers that were adopted, whose blobs are made when needed.
	Tar int64 `json:"tar,omitempty"`
	// Devices are device nodes outside of /dev, which were left out, and DeviceNames the
	// first of them.
	Devices     int      `json:"devices,omitempty"`
	DeviceNames []string `json:"deviceNames,omitempty"`
	// Boot is the machine's boot in which the layer was unpacked, "" once the
	// layer has been synced.
	Boot string `json:"boot,omitempty"`
	// Blobs are the digests of blobs that are known to unpack to the layer.
	Blobs []string `json:"blobs,omitempty"`
}

func (s *Store) layerPath(diffID v1.Hash) string { return s.path("layers/" + diffID.Hex) }
func (s *Store) notePath(diffID v1.Hash) string  { return s.layerPath(diffID) + "/note.json" }

// Layers returns the directories of the image's layers, top first, as overlayfs
// wants its lower directories, and unpacks the missing ones. Images share them.
// Callers must not change them. They stay until a collection whose keep lacks
// the image.
//
// A layer that occurs twice in an image is returned at its uppermost place:
// overlayfs refuses a directory given twice, and the lower occurrence is hidden
// anyway.
func (s *Store) Layers(ctx context.Context, digest string) ([]string, error) {
	img, err := s.Get(digest)
	if err != nil {
		return nil, err
	}
	l := s.leases.open()
	defer l.release()
	stack, err := s.stack(l, img.Layers)
	if err != nil {
		return nil, err
	}
	budget := s.budget(img.Layers)
	g, gctx := errgroup.WithContext(ctx)
	for i := range stack {
		g.Go(func() error { return s.ensureLayer(gctx, l, budget, stack[:i], stack[i]) })
	}
	if err := g.Wait(); err != nil {
		return nil, s.explain(err)
	}
	var dirs []string
	for _, p := range slices.Backward(stack) {
		if !slices.Contains(dirs, p.dir) {
			dirs = append(dirs, p.dir)
		}
	}
	return dirs, nil
}

// LeftOut says what the unpacked layers, directories that Layers returned, lack of their
// image: nothing, or a sentence for people.
func (s *Store) LeftOut(layers []string) (string, error) {
	var names []string
	devices := 0
	for _, dir := range layers {
		note, err := s.readLayerNote(v1.Hash{Algorithm: "sha256", Hex: path.Base(path.Dir(dir))})
		if err != nil {
			return "", err
		}
		names, devices = append(names, note.DeviceNames...), devices+note.Devices
	}
	if devices == 0 {
		return "", nil
	}
	names = names[:min(len(names), 5)]
	if devices > len(names) {
		names = append(names, "...")
	}
	return fmt.Sprintf("Left out %d device files of the image, which no instance can have: %s. Instances have the usual ones in /dev.",
		devices, strings.Join(names, ", ")), nil
}

// stackedLayer is a layer at its place in an image.
type stackedLayer struct {
	Layer
	// What a layer unpacks to may depend on the layers below: see
	// [unpack.ErrNeedsBelow]. A layer that does not depend on them is stored
	// under its diff id and serves any image; one that does is stored under the
	// id of the whole stack.
	ownID, stackID v1.Hash

	ready chan struct{} // closed when dir is set
	dir   string
}

// stack returns an image's layers, lowest first, protected by l.
func (s *Store) stack(l *lease, layers []Layer) ([]*stackedLayer, error) {
	var stack []*stackedLayer
	var ids []v1.Hash
	for _, layer := range layers {
		id, err := parseDigest(layer.DiffID)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
		p := &stackedLayer{Layer: layer, ownID: id, stackID: stackIDOf(ids), ready: make(chan struct{})}
		l.hold(layerKey(p.ownID))
		l.hold(layerKey(p.stackID))
		stack = append(stack, p)
	}
	return stack, nil
}

// stackIDOf identifies a stack of layers by its diff ids, lowest first.
func stackIDOf(ids []v1.Hash) v1.Hash {
	var b bytes.Buffer
	for _, id := range ids {
		b.WriteString(id.String() + "\n")
	}
	return hashOf(b.Bytes())
}

// ensureLayer unpacks p, which lies on below, if needed, and sets its
// directory.
func (s *Store) ensureLayer(ctx context.Context, l *lease, budget *unpack.Budget, below []*stackedLayer, p *stackedLayer) error {
	id, found, err := s.unpackedAs(ctx, l, budget, below, p)
	if err == nil && found {
		err = s.spend(budget, id)
	}
	if err != nil {
		return err
	}
	if err := s.proveLayer(ctx, l, budget, p.Layer, id); err != nil {
		return err
	}
	p.dir = s.layerPath(id) + "/fs"
	close(p.ready)
	return nil
}

// unpackedAs unpacks p if needed and returns the id it is stored under, and whether it
// was found there.
func (s *Store) unpackedAs(ctx context.Context, l *lease, budget *unpack.Budget, below []*stackedLayer, p *stackedLayer) (id v1.Hash, found bool, err error) {
	for _, id := range []v1.Hash{p.ownID, p.stackID} {
		if ok, err := touch(s.layerPath(id)); ok || err != nil {
			return id, true, err
		}
	}
	found, err = s.ensureUnpacked(ctx, l, p.Layer, p.ownID, unpack.Below{}, budget)
	if !errors.Is(err, unpack.ErrNeedsBelow) {
		return p.ownID, found, err
	}
	known := unpack.Below{Known: true}
	for _, b := range slices.Backward(below) {
		select {
		case <-ctx.Done():
			return p.stackID, false, context.Cause(ctx)
		case <-b.ready:
			known.Dirs = append(known.Dirs, b.dir)
		}
	}
	found, err = s.ensureUnpacked(ctx, l, p.Layer, p.stackID, known, budget)
	return p.stackID, found, err
}

// ensureUnpacked unpacks a layer under id, and reports whether it was found there.
// Concurrent callers share one run, at the cost of the first one's budget: a caller whose
// own budget may be larger runs again if it was not enough.
func (s *Store) ensureUnpacked(ctx context.Context, l *lease, layer Layer, id v1.Hash, below unpack.Below, budget *unpack.Budget) (found bool, err error) {
	for {
		found, err = s.unpackOnce(ctx, l, layer, id, below, budget)
		if _, poor := errors.AsType[*unpack.CostError](err); !poor || !found {
			return found, err
		}
	}
}

// unpackOnce unpacks a layer, or waits for another caller who does: found says so, also
// with an error.
func (s *Store) unpackOnce(ctx context.Context, l *lease, layer Layer, id v1.Hash, below unpack.Below, budget *unpack.Budget) (found bool, err error) {
	found = true
	err = s.flights.do(ctx, layerKey(id), func() error {
		if ok, err := touch(s.layerPath(id)); ok || err != nil {
			return err
		}
		if err := s.unpacks.Acquire(ctx, 1); err != nil {
			return context.Cause(ctx)
		}
		defer s.unpacks.Release(1)
		found = false
		return s.unpackLayer(ctx, l, layer, id, below, budget)
	})
	return found, err
}

// unpackLayer unpacks a layer in tmp and renames it into place. It syncs
// nothing: see the package comment.
func (s *Store) unpackLayer(ctx context.Context, l *lease, layer Layer, id v1.Hash, below unpack.Below, budget *unpack.Budget) (err error) {
	h, err := parseDigest(layer.Digest)
	if err != nil {
		return err
	}
	l.hold(blobKey(h))
	blob, err := s.openBlob(h)
	if err != nil {
		return err
	}
	defer blob.Close()
	tmp, err := os.MkdirTemp(s.path("tmp"), "layer-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := os.Mkdir(tmp+"/fs", 0o755); err != nil {
		return err
	}
	if err := os.Chmod(tmp+"/fs", 0o755); err != nil { // whatever the umask
		return err
	}
	start := time.Now()
	stats, err := s.unpackInto(ctx, blob, layer, tmp+"/fs", below, budget)
	if err != nil {
		return err
	}
	note, err := json.Marshal(layerNote{
		Bytes: stats.Bytes, Entries: stats.Entries, Written: stats.Written, Boot: s.boot,
		Devices: stats.Devices, DeviceNames: stats.DeviceNames, Blobs: []string{layer.Digest},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(tmp+"/note.json", note, 0o600); err != nil {
		return err
	}
	s.log.Debug("unpacked a layer", "diff_id", layer.DiffID, "bytes", stats.Bytes, "entries", stats.Entries, "took", time.Since(start))
	return os.Rename(tmp, s.layerPath(id))
}

func (s *Store) unpackInto(ctx context.Context, blob *os.File, layer Layer, dir string, below unpack.Below, budget *unpack.Budget) (unpack.Stats, error) {
	stats, err := unpack.Layer(ctx, blob, unpack.Digests{Blob: layer.Digest, Diff: layer.DiffID}, dir, below, budget, s.log)
	if errors.Is(err, unpack.ErrCorrupt) {
		// If it is removed, the next pull fetches it; if it stayed, every
		// attempt would fail.
		s.log.Error("removing a damaged blob", "digest", layer.Digest, "err", err)
		err = errors.Join(err, os.Remove(blob.Name()))
	}
	return stats, err
}

// readLayerNote returns the note of an unpacked layer; fs.ErrNotExist if there
// is none.
func (s *Store) readLayerNote(id v1.Hash) (layerNote, error) {
	var n layerNote
	b, err := os.ReadFile(s.notePath(id))
	if err != nil {
		return n, err
	}
	if err := json.Unmarshal(b, &n); err != nil {
		return n, fmt.Errorf("read note of layer %s: %w", id, err)
	}
	return n, nil
}

// setLayerAside renames a layer out of use and returns its new path, which the
// caller removes.
func (s *Store) setLayerAside(id v1.Hash) (string, error) {
	aside, err := os.MkdirTemp(s.path("tmp"), "gone-*")
	if err != nil {
		return "", err
	}
	return aside, os.Rename(s.layerPath(id), aside+"/layer")
}

// sweepLayers sets aside layers that an earlier boot left unsynced, and layers
// without a readable note.
func (s *Store) sweepLayers() error {
	names, err := readDir(s.path("layers"))
	if err != nil {
		return err
	}
	for _, n := range names {
		id := v1.Hash{Algorithm: "sha256", Hex: n}
		note, err := s.readLayerNote(id)
		if err == nil && (note.Boot == "" || note.Boot == s.boot) {
			continue
		}
		if _, failed := errors.AsType[*fs.PathError](err); failed && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.EISDIR) {
			s.name("layer "+id.String(), err) // instances may be using it: it stays
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("discarding an unpacked layer", "diff_id", id.String(), "err", err)
		}
		if _, err := s.setLayerAside(id); err != nil {
			return fmt.Errorf("discard layer %s: %w", id, err)
		}
	}
	return nil
}

// syncLayers syncs the layers unpacked since the last call, so that they
// survive a reboot.
func (s *Store) syncLayers() error {
	names, err := readDir(s.path("layers"))
	if err != nil {
		return err
	}
	fresh := map[v1.Hash]layerNote{}
	for _, n := range names {
		id := v1.Hash{Algorithm: "sha256", Hex: n}
		note, err := s.readLayerNote(id)
		if err == nil && note.Boot != "" {
			fresh[id] = note
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := s.syncAll(); err != nil {
		return err
	}
	for id := range fresh {
		if err := s.editNote(id, func(n *layerNote) { n.Boot = "" }); err != nil {
			return err
		}
	}
	return nil
}

// editNote changes a layer's note without making the layer look used.
func (s *Store) editNote(id v1.Hash, edit func(*layerNote)) error {
	s.notes.Lock()
	defer s.notes.Unlock()
	note, err := s.readLayerNote(id)
	if err != nil {
		return err
	}
	edit(&note)
	fi, err := os.Lstat(s.layerPath(id))
	if err != nil {
		return err
	}
	if err := s.writeJSON(s.notePath(id), note); err != nil {
		return err
	}
	return os.Chtimes(s.layerPath(id), fi.ModTime(), fi.ModTime())
}

// syncAll syncs the store's file system.
func (s *Store) syncAll() error {
	d, err := os.Open(s.path("layers"))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("sync image store: %w", err)
	}
	return nil
}
