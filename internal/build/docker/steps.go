package docker

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build/cache"
	"github.com/openslipway/slipway/internal/build/docker/graph"
	"github.com/openslipway/slipway/internal/build/step"
)

// node is what is known of a step.
type node struct {
	number int    // in the log; 0 for a step that people need not see
	key    string // "" until it is known
	files  *stack // nil until they are there
}

// refuse refuses a Dockerfile with steps that cannot be run here, before any runs.
func (b *build) refuse() error {
	for _, s := range b.steps {
		if s.Refused != "" {
			b.excerpt(s.Line, s.End)
			return slipway.Errorf(slipway.InvalidRequest, "%s: %s.", b.place(s), s.Refused)
		}
		for _, id := range missingSecrets(s, b.Secrets) {
			b.excerpt(s.Line, s.End)
			return slipway.Errorf(slipway.InvalidRequest,
				"%s: the RUN needs the secret %q, which the service does not have. Set %sbuild-secret.%s to a secret's reference.", b.place(s), id, slipway.SettingPrefix, id)
		}
	}
	return nil
}

// own refuses base images that were not pulled for this build: the frontend has read a
// stranger's file, and must not lead to images of other services.
func (b *build) own() error {
	for _, s := range b.steps {
		if s.Image != "" && !slices.Contains(slices.Collect(maps.Values(b.bases)), s.Image) {
			return fmt.Errorf("%s begins with the image %s, which it does not name", b.place(s), s.Image)
		}
	}
	return nil
}

// number numbers the steps that the log shows, as BuildKit's plain progress does.
func (b *build) number() {
	n := 0
	for i, s := range b.steps {
		if s.Name != "" {
			n++
			b.nodes[i].number = n
		}
	}
}

func (b *build) place(s graph.Step) string {
	if s.Line == 0 {
		return b.Name
	}
	return fmt.Sprintf("%s:%d", b.Name, s.Line)
}

// maxExcerpt is how many lines of an instruction are shown.
const maxExcerpt = 20

// excerpt shows lines of the Dockerfile.
func (b *build) excerpt(first, last int) {
	lines := strings.Split(string(b.Dockerfile), "\n")
	if first <= 0 || first > len(lines) {
		return
	}
	last = min(max(first, last), first+maxExcerpt-1)
	for i := max(first-2, 1); i <= min(last+1, len(lines)); i++ {
		mark := "   "
		if i >= first && i <= last {
			mark = ">>>"
		}
		b.Log.Output(fmt.Appendf(nil, "%s:%d %s %s\n", b.Name, i, mark, strings.TrimRight(lines[i-1], "\r")))
	}
}

// text returns the instruction of a step: its name without the counter.
func text(s graph.Step) string {
	if strings.HasPrefix(s.Name, "[") {
		if _, rest, ok := strings.Cut(s.Name, "] "); ok {
			return strings.TrimPrefix(rest, "LINK ")
		}
	}
	return s.Name
}

// say writes a line about a step.
func (b *build) say(i int, format string, args ...any) {
	if n := b.nodes[i].number; n > 0 {
		b.Log.Output(fmt.Appendf(nil, "#%d %s\n", n, fmt.Sprintf(format, args...)))
	}
}

// begun writes the name of a step, of several lines only the first.
func (b *build) begun(i int) {
	name, _, more := strings.Cut(b.steps[i].Name, "\n")
	if more {
		name += "..."
	}
	b.say(i, "%s", name)
}

// files returns the files of a step, and runs it if they are not there.
func (b *build) files(ctx context.Context, i int) (stack, error) {
	n := &b.nodes[i]
	if n.files != nil {
		return *n.files, nil
	}
	if err := context.Cause(ctx); err != nil {
		return stack{}, err
	}
	st, err := b.make(ctx, i)
	if err == nil {
		n.files = &st
	}
	return st, err
}

func (b *build) make(ctx context.Context, i int) (stack, error) {
	s := b.steps[i]
	switch {
	case s.Image != "":
		b.begun(i)
		dirs, err := b.cfg.Images.Layers(ctx, s.Image)
		if err != nil {
			return stack{}, err
		}
		b.say(i, "DONE")
		return stack{base: s.Image, under: dirs}, nil
	case s.Context:
		return stack{layers: []cache.Layer{{Dir: b.Context}}}, nil
	case s.Merge:
		return b.merge(ctx, i)
	case s.Fetch != nil:
		l, err := b.fetch(ctx, i)
		return stack{}.over(l), err
	case s.Run != nil:
		return b.change(ctx, i, s.Run.Root, b.run)
	}
	return b.change(ctx, i, s.Files[0].Root, b.copies)
}

// merge puts the files of several steps over one another.
func (b *build) merge(ctx context.Context, i int) (st stack, err error) {
	for k, in := range b.steps[i].Inputs {
		over, err := b.files(ctx, in)
		if err != nil {
			return st, err
		}
		if k == 0 {
			st = over
			continue
		}
		if over.base != "" {
			return st, errors.New("an image cannot be put over other files") // no Dockerfile says so
		}
		for _, l := range over.layers {
			st = st.over(l)
		}
	}
	return st, nil
}

// input returns the files of an input of a step; none for graph.None.
func (b *build) input(ctx context.Context, i, in int) (stack, error) {
	if in == graph.None {
		return stack{}, nil
	}
	return b.files(ctx, b.steps[i].Inputs[in])
}

// change returns the files of a step that changes those of one of its inputs: with the
// layer of an earlier build, or what run makes.
func (b *build) change(ctx context.Context, i, root int, run func(ctx context.Context, i int, root stack) (cache.Layer, error)) (stack, error) {
	if l, ok, err := b.known(ctx, i); err != nil || ok {
		if err != nil {
			return stack{}, err
		}
		below, err := b.input(ctx, i, root)
		if err == nil {
			b.begun(i)
			b.say(i, "CACHED")
		}
		return below.over(l), err
	}
	below, err := b.input(ctx, i, root)
	if err != nil {
		return stack{}, err
	}
	// Its inputs first: the log has one step after the other.
	for k := range b.steps[i].Inputs {
		if _, err := b.input(ctx, i, k); err != nil {
			return stack{}, err
		}
	}
	b.begun(i)
	began := time.Now()
	l, err := run(ctx, i, below)
	if err != nil {
		return stack{}, err
	}
	b.say(i, "DONE %.1fs", time.Since(began).Seconds())
	b.disk -= l.Size
	return below.over(l), nil
}

// known returns the layer that a step made in an earlier build.
func (b *build) known(ctx context.Context, i int) (l cache.Layer, ok bool, err error) {
	key, err := b.definition(ctx, i)
	if key == "" || err != nil {
		return l, false, err
	}
	l, ok, err = b.cfg.Cache.Layer(b.Service, key)
	if err == nil && ok && l.Same != "" {
		key = l.Same
		l, ok, err = b.cfg.Cache.Layer(b.Service, key)
	}
	if err != nil {
		b.cfg.Log.Warn("cannot read a layer of an earlier build", "service", b.Service, "err", err)
		return l, false, nil
	}
	if ok {
		b.nodes[i].key = key
	}
	return l, ok, nil
}

// definition returns the key of what a step does and of what it does it to; "" if that is
// not known without doing it.
func (b *build) definition(ctx context.Context, i int) (string, error) {
	s := b.steps[i]
	switch {
	case s.Image != "":
		return keyOf("image", s.Image), nil
	case s.Context:
		if b.ContextID == "" {
			return "", nil
		}
		return keyOf("context", b.ContextID), nil
	case s.Fetch != nil:
		if s.Fetch.Checksum == "" {
			return "", nil // what is there may be different now
		}
		return keyOf("fetch", *s.Fetch), nil
	}
	inputs, err := b.inputKeys(ctx, i)
	if err != nil || slices.Contains(inputs, "") {
		return "", err
	}
	switch {
	case s.Run != nil:
		return keyOf("run", *s.Run, step.Environment(b.Env), inputs), nil
	case s.Merge:
		return keyOf("merge", inputs), nil
	}
	return keyOf("files", s.Files, inputs), nil
}

// inputKeys returns the keys of the inputs of a step.
func (b *build) inputKeys(ctx context.Context, i int) (keys []string, err error) {
	s := b.steps[i]
	for k, in := range s.Inputs {
		var key string
		if s.Run != nil && b.steps[in].Context {
			key, err = b.contextKey(ctx, s.Run, k)
		} else {
			key, err = b.key(ctx, in)
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// key returns the key of the files of a step. For what depends on contents that are not
// known yet, it runs the step; "" if nothing identifies them.
func (b *build) key(ctx context.Context, i int) (string, error) {
	if k := b.nodes[i].key; k != "" {
		return k, nil
	}
	s := b.steps[i]
	if len(s.Files) > 0 || s.Fetch != nil {
		if _, ok, err := b.known(ctx, i); err != nil || ok {
			return b.nodes[i].key, err
		}
		if _, err := b.files(ctx, i); err != nil {
			return "", err
		}
		return b.nodes[i].key, nil
	}
	k, err := b.definition(ctx, i)
	b.nodes[i].key = k
	return k, err
}

// contextKey returns the key of what a RUN sees of the build context as its input k: of
// the contents of the paths that it mounts.
func (b *build) contextKey(ctx context.Context, r *graph.Run, k int) (string, error) {
	var parts []any
	for _, m := range r.Mounts {
		if m.Input != k || m.Kind != graph.MountBind {
			continue
		}
		at, err := realPath([]string{b.Context}, m.Path)
		if err != nil {
			return "", b.notThere(m.Path)
		}
		digest, err := contents(ctx, filepath.Join(b.Context, at))
		if errors.Is(err, os.ErrNotExist) {
			return "", b.notThere(m.Path)
		}
		if err != nil {
			return "", err
		}
		parts = append(parts, m.Path, digest)
	}
	return keyOf("seen", parts...), nil
}

func (b *build) notThere(name string) error {
	return slipway.Errorf(slipway.InvalidRequest, "%q is not in the build context: it is not in the source directory, or the ignore file leaves it out.", cmp.Or(name, "/"))
}

// keep stores what a step changed under its key, and returns it at its place.
func (b *build) keep(i int, key string, l cache.Layer) (cache.Layer, error) {
	l.By = strings.ToValidUTF8(text(b.steps[i]), "?")
	if l.Entries == 0 && l.Dir != "" {
		if err := os.RemoveAll(l.Dir); err != nil {
			return l, err
		}
		l.Dir = ""
	}
	b.nodes[i].key = key
	if key == "" {
		key = keyOf("once", b.Dir, i)
	}
	b.kept = append(b.kept, key)
	return b.cfg.Cache.StoreLayer(b.Service, key, l)
}

// misplaced returns an error of the user's if a mount has no place in the files of a
// step.
func (b *build) misplaced(s graph.Step, err error) error {
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return slipway.Errorf(slipway.InvalidRequest,
			"%s: an earlier step put a link or a file where a directory is needed to mount something: at the target of a mount, in /run or in %s. Remove it.", b.place(s), toolDir)
	}
	return err
}

// exec runs a program for a step.
func (b *build) exec(ctx context.Context, i int, p step.Process, output func([]byte)) (cache.Layer, step.Result, error) {
	p.Changes = filepath.Join(b.Dir, "changes"+strconv.Itoa(i))
	p.Limits = b.limits()
	res, err := b.cfg.Runner.Exec(ctx, p, output)
	if err != nil {
		return cache.Layer{}, res, b.misplaced(b.steps[i], err)
	}
	if res.Exit.Code != 0 {
		return cache.Layer{}, res, nil
	}
	if res.Layer == nil {
		return cache.Layer{}, res, errors.New("a step has no changes")
	}
	return cache.Layer{Dir: p.Changes, DiffID: res.Layer.DiffID, Size: res.Layer.Size, Entries: res.Layer.Entries}, res, nil
}

// roots returns the layers for a root file system of a stack, which may have none.
func (b *build) roots(st stack) (image string, layers []string) {
	layers = st.own()
	if st.base == "" && len(layers) == 0 {
		layers = []string{b.empty}
	}
	return st.base, layers
}

// printer writes the output of a step to the log: "#5 0.345 text".
type printer struct {
	b     *build
	i     int
	began time.Time
	part  []byte // of a line that has not ended
}

func (p *printer) write(data []byte) {
	p.b.output -= int64(len(data))
	p.part = append(p.part, data...)
	for {
		at := bytes.IndexByte(p.part, '\n')
		if at < 0 && len(p.part) < 8<<10 {
			return
		}
		if at < 0 {
			at = len(p.part) - 1
		}
		p.line(p.part[:at+1])
		p.part = p.part[at+1:]
	}
}

func (p *printer) line(text []byte) {
	text = bytes.TrimRight(text, "\r\n")
	if at := bytes.LastIndexByte(text, '\r'); at >= 0 { // of a progress bar, the last state
		text = text[at+1:]
	}
	p.b.Log.Output(fmt.Appendf(nil, "#%d %.3f %s\n", p.b.nodes[p.i].number, time.Since(p.began).Seconds(), text))
}

func (p *printer) flush() {
	if len(p.part) > 0 {
		p.line(p.part)
		p.part = nil
	}
}
