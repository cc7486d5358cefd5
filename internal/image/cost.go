package image

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openslipway/slipway/internal/image/unpack"
	"github.com/openslipway/slipway/internal/room"
)

// Limits bound what an image may cost: this is the one place that says so. Zero values
// mean the defaults.
//
// An image costs what its blobs take, what its layers take unpacked, and the time to
// unpack them. Unpacked counts what is read (the uncompressed tars) and what is written
// (blocks with data, also of files copied from lower layers, directories, inodes,
// attributes; holes stay holes) over all layers of the image, those unpacked before
// included. Whatever an image may cost, the reserve of the disk stays free: see package
// room.
type Limits struct {
	ImageBytes int64 // of all layers as pulled; 10 GiB
	Layers     int   // 200
	Unpacked   int64 // bytes of all layers' files, holes counted in full; 40 GiB
	Entries    int   // files, directories and links of all layers; 2,000,000
	Ratio      int64 // bytes read or written to bytes packed, beyond the first GiB; 200
	Downloads  int   // at once, over all pulls; 6
	Unpacks    int   // at once; the number of CPUs, at most 4
}

func (l Limits) withDefaults() Limits {
	return Limits{
		ImageBytes: cmp.Or(l.ImageBytes, 10<<30),
		Layers:     cmp.Or(l.Layers, 200),
		Unpacked:   cmp.Or(l.Unpacked, 40<<30),
		Entries:    cmp.Or(l.Entries, 2_000_000),
		Ratio:      cmp.Or(l.Ratio, 200),
		Downloads:  cmp.Or(l.Downloads, 6),
		Unpacks:    cmp.Or(l.Unpacks, min(4, runtime.NumCPU())),
	}
}

// slack is how many bytes an image or an archive may expand to whatever its ratio.
const slack = 1 << 30

// budget returns what the layers of an image may cost unpacked.
func (s *Store) budget(layers []Layer) *unpack.Budget {
	var packed int64
	seen := map[string]bool{}
	for _, l := range layers {
		if !seen[l.Digest] {
			seen[l.Digest] = true
			packed += l.Size
		}
	}
	limits := unpack.Limits{Bytes: s.limits.Unpacked, Entries: s.limits.Entries, Ratio: s.limits.Ratio, Slack: slack}
	return limits.Budget(packed, s.disk)
}

// spend counts a layer that is there already. Layers of builds, and those that versions
// before this count unpacked, have cost nothing.
func (s *Store) spend(b *unpack.Budget, id v1.Hash) error {
	note, err := s.readLayerNote(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another caller's, who sets it aside
	}
	if err != nil || note.Tar != 0 || note.Written == 0 {
		return err
	}
	return b.Spend(unpack.Cost{Bytes: note.Bytes, Written: note.Written, Entries: note.Entries})
}

// onDisk returns a writer to w, a file of the store, that leaves the reserve of the disk.
func (s *Store) onDisk(w io.Writer) io.Writer { return &room.Writer{W: w, Gauge: s.disk} }
