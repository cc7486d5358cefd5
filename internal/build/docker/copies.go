package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build/cache"
	"github.com/openslipway/slipway/internal/build/docker/graph"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/runtime"
)

// Where the program files finds what it needs, in the root that it changes.
const (
	toolDir    = "/.slipway"
	sourcesDir = toolDir + "/from"
)

// copies carries out COPY, ADD and WORKDIR.
func (b *build) copies(ctx context.Context, i int, root stack) (cache.Layer, error) {
	s := b.steps[i]
	var binds []runtime.Bind
	bound := map[int]string{}
	work := graph.Work{}
	for _, a := range s.Files {
		if a.Copy == nil {
			work.Actions = append(work.Actions, a)
			continue
		}
		c := *a.Copy
		if bound[c.From] == "" {
			from, err := b.input(ctx, i, c.From)
			if err != nil {
				return cache.Layer{}, err
			}
			dirs := from.dirs()
			if len(dirs) == 0 {
				dirs = []string{b.empty}
			}
			bound[c.From] = sourcesDir + "/" + strconv.Itoa(len(binds))
			binds = append(binds, runtime.Bind{Layers: dirs, Target: bound[c.From]})
		}
		c.Folder = bound[c.From]
		a.Copy = &c
		work.Actions = append(work.Actions, a)
	}
	l, out, err := b.edit(ctx, root, binds, work, strconv.Itoa(i))
	if err != nil {
		return l, b.misplaced(s, err)
	}
	if out != "" {
		b.say(i, "ERROR: %s", out)
		b.excerpt(s.Line, s.End)
		return l, b.failedCopy(s, out)
	}
	return b.keepFiles(ctx, i, l)
}

// failedCopy words the failure of an instruction that copies.
func (b *build) failedCopy(s graph.Step, out string) error {
	hint := ""
	if strings.HasSuffix(out, "not found") {
		hint = " It is not in the source directory, or the ignore file leaves it out."
		for _, a := range s.Files {
			if a.Copy != nil && a.Copy.From != graph.None && !b.steps[s.Inputs[a.Copy.From]].Context {
				hint = " The stage or image that is copied from does not have it."
			}
		}
	}
	return slipway.Errorf(slipway.InvalidRequest, "%s: \"%s\" failed: %s.%s", b.place(s), short(text(s)), out, hint)
}

// short returns the beginning of an instruction.
func short(text string) string {
	first, _, more := strings.Cut(text, "\n")
	const most = 100
	if r := []rune(first); len(r) > most {
		first, more = string(r[:most]), true
	}
	if more {
		first += "..."
	}
	return first
}

// keepFiles stores the files that an instruction copied under the key of their contents,
// and the key of what it copied from leads there. If another build has copied the same,
// its layer is used: it differs in times only, and images share it.
func (b *build) keepFiles(ctx context.Context, i int, l cache.Layer) (cache.Layer, error) {
	digest, err := contents(ctx, l.Dir)
	if err != nil {
		return l, err
	}
	root, err := b.rootKey(ctx, i)
	if err != nil {
		return l, err
	}
	if root == "" {
		return b.keep(i, "", l)
	}
	key := keyOf("contents", root, digest)
	definition, err := b.definition(ctx, i)
	if err != nil {
		return l, err
	}
	if definition != "" {
		if _, err := b.cfg.Cache.StoreLayer(b.Service, definition, cache.Layer{Same: key}); err != nil {
			return l, err
		}
		b.kept = append(b.kept, definition)
	}
	old, ok, err := b.cfg.Cache.Layer(b.Service, key)
	if err != nil {
		return l, err
	}
	if !ok {
		return b.keep(i, key, l)
	}
	b.nodes[i].key = key
	return old, os.RemoveAll(l.Dir)
}

// rootKey returns the key of the files that a step changes.
func (b *build) rootKey(ctx context.Context, i int) (string, error) {
	s := b.steps[i]
	if len(s.Files) == 0 || s.Files[0].Root == graph.None {
		return keyOf("nothing"), nil
	}
	return b.key(ctx, s.Inputs[s.Files[0].Root])
}

// edit runs the program files once. out is what it says when it fails, "" if it does
// not. Without a name, the changes are dropped.
func (b *build) edit(ctx context.Context, root stack, binds []runtime.Bind, work graph.Work, name string) (l cache.Layer, out string, err error) {
	program, err := b.programs.path(files)
	if err != nil {
		return l, "", err
	}
	text, err := json.Marshal(work)
	if err != nil {
		return l, "", err
	}
	in, err := os.MkdirTemp(b.Dir, "work-*")
	if err != nil {
		return l, "", err
	}
	defer os.RemoveAll(in)
	if err := os.WriteFile(filepath.Join(in, "work"), text, 0o600); err != nil {
		return l, "", err
	}
	p := step.Process{
		Argv: []string{toolDir + "/files", toolDir + "/work"}, Env: []string{"HOME=/"}, Dir: "/", User: "0:0", Offline: true, Limits: b.limits(),
		Binds: append([]runtime.Bind{{Source: program, Target: toolDir + "/files"}, {Source: filepath.Join(in, "work"), Target: toolDir + "/work"}}, binds...),
	}
	p.Limits.Output = maxTail
	p.Image, p.Layers = b.roots(root)
	if name != "" {
		p.Changes = filepath.Join(b.Dir, "changes"+name)
	}
	var said tail
	res, err := b.cfg.Runner.Exec(ctx, p, said.write)
	if err != nil {
		return l, "", err
	}
	switch {
	case res.Limit != "":
		return l, fmt.Sprintf("it met its %s limit", res.Limit), nil
	case res.Exit.Code != 0 && said.String() == "":
		return l, fmt.Sprintf("it ended with code %d %s", res.Exit.Code, res.Exit.Reason), nil
	case res.Exit.Code != 0:
		return l, said.String(), nil
	case res.Layer == nil:
		return l, "", nil
	}
	return cache.Layer{Dir: p.Changes, DiffID: res.Layer.DiffID, Size: res.Layer.Size, Entries: res.Layer.Entries}, "", nil
}

// fetch makes the layer of a file at a URL.
func (b *build) fetch(ctx context.Context, i int) (cache.Layer, error) {
	if l, ok, err := b.known(ctx, i); err != nil || ok {
		return l, err
	}
	s := b.steps[i]
	program, err := b.programs.path(frontend)
	if err != nil {
		return cache.Layer{}, err
	}
	in, err := os.MkdirTemp(b.Dir, "fetch-*")
	if err != nil {
		return cache.Layer{}, err
	}
	defer os.RemoveAll(in)
	text, err := json.Marshal(s.Fetch)
	if err != nil {
		return cache.Layer{}, err
	}
	if err := os.WriteFile(filepath.Join(in, "fetch"), text, 0o600); err != nil {
		return cache.Layer{}, err
	}
	way := b.cfg.Way
	if way.CAFile == "" { // there is no image that has one
		way.CAFile = step.HostWay(func(string) string { return "" }).CAFile
	}
	binds := append(way.Binds(),
		runtime.Bind{Source: program, Target: toolDir + "/frontend"}, runtime.Bind{Source: filepath.Join(in, "fetch"), Target: toolDir + "/fetch"})
	var said tail
	l, res, err := b.exec(ctx, i, step.Process{
		Layers: []string{b.empty}, Binds: binds, Argv: []string{toolDir + "/frontend", "fetch", toolDir + "/fetch", "/" + s.Fetch.Name},
		Env: step.Environment(way.Variables()), Dir: "/", User: "0:0", Networks: b.cfg.Way.Networks,
	}, said.write)
	if err != nil {
		return l, err
	}
	if res.Exit.Code != 0 {
		return l, slipway.Errorf(slipway.InvalidRequest, "%s: %.200q cannot be fetched: %s.", b.place(s), s.Fetch.URL, strings.TrimRight(said.String(), "."))
	}
	return b.keepFiles(ctx, i, l)
}
