package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime"
)

// List implements runtime.Driver.
func (d *Driver) List(ctx context.Context) ([]runtime.Observed, error) {
	_, done, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	all := d.known()
	list := make([]runtime.Observed, len(all))
	for i, in := range all {
		list[i] = in.observed()
		if list[i].Running {
			list[i].Full, list[i].Disk = d.lookAtDisk(in), cmp.Or(in.spec.Disk, d.cfg.Disk)
		}
	}
	return list, nil
}

// Images returns the images of all instances, which may be some that no release uses.
func (d *Driver) Images(ctx context.Context) ([]string, error) {
	_, done, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var list []string
	for _, in := range d.known() {
		if in.spec.Image != "" { // that of a damaged record is not known
			list = append(list, in.spec.Image)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// known returns all instances.
func (d *Driver) known() []*instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*instance, 0, len(d.instances))
	for _, in := range d.instances {
		all = append(all, in)
	}
	return all
}

// readAtMost is how much one Output call returns, about, in bytes.
const readAtMost = 1 << 20

// Output implements runtime.Driver.
func (d *Driver) Output(ctx context.Context, id string, from int64) ([]runtime.Chunk, int64, error) {
	_, done, err := d.begin(ctx)
	if err != nil {
		return nil, from, err
	}
	defer done()
	in := d.instance(id)
	if in == nil {
		return nil, from, runtime.ErrNotFound
	}
	frames, next, err := in.read(from, readAtMost)
	if errors.Is(err, fs.ErrNotExist) && d.instance(id) != in {
		return nil, from, runtime.ErrNotFound // removed just now
	}
	if err != nil {
		return nil, from, fmt.Errorf("read the output of instance %s: %w", id, err)
	}
	chunks := make([]runtime.Chunk, len(frames))
	for i, f := range frames {
		chunks[i] = runtime.Chunk{Pos: f.Pos, At: time.Unix(0, f.At), Stderr: f.Stderr, Full: f.Full, Data: f.Data}
	}
	return chunks, next, nil
}

// Stats implements runtime.Statser.
func (d *Driver) Stats(ctx context.Context) (map[string]runtime.Usage, error) {
	_, done, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	stats := map[string]runtime.Usage{}
	for _, in := range d.known() {
		if !in.alive() {
			continue
		}
		u, err := in.group.Usage()
		switch {
		case err == nil:
			stats[in.id] = runtime.Usage{CPU: u.CPU, Memory: u.Memory, Pids: u.Pids}
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV): // removed just now
		default:
			return nil, fmt.Errorf("measure instance %s: %w", in.id, err)
		}
	}
	return stats, nil
}

// Watch implements runtime.Watcher. It nudges as instances end.
func (d *Driver) Watch(ctx context.Context, nudge func(id string)) error {
	d.mu.Lock()
	d.watchers[&nudge] = struct{}{}
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.watchers, &nudge)
		d.mu.Unlock()
	}()
	nudge("") // for what happened before this call
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-d.closed:
		return errClosed
	}
}

// nudge tells all watchers that an instance has changed.
func (d *Driver) nudge(id string) {
	d.mu.Lock()
	var all []func(string)
	for w := range d.watchers {
		all = append(all, *w)
	}
	d.mu.Unlock()
	for _, nudge := range all {
		nudge(id)
	}
}
