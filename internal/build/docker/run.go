package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/build/cache"
	"github.com/openslipway/slipway/internal/build/docker/graph"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/source/config"
)

// secret returns the value of a secret.
func secret(list []config.Variable, id string) (string, bool) {
	i := slices.IndexFunc(list, func(v config.Variable) bool { return v.Name == id })
	if i < 0 {
		return "", false
	}
	return list[i].Value, true
}

// missingSecrets returns the ids of secrets that a step needs and that there are not.
func missingSecrets(s graph.Step, list []config.Variable) (ids []string) {
	if s.Run == nil {
		return nil
	}
	need := func(id string, optional bool) {
		if _, ok := secret(list, id); !ok && !optional {
			ids = append(ids, id)
		}
	}
	for _, m := range s.Run.Mounts {
		if m.Kind == graph.MountSecret {
			need(m.ID, m.Optional)
		}
	}
	for _, e := range s.Run.SecretEnv {
		need(e.ID, e.Optional)
	}
	return ids
}

// run runs a RUN.
func (b *build) run(ctx context.Context, i int, root stack) (cache.Layer, error) {
	s := b.steps[i]
	key, err := b.definition(ctx, i)
	if err != nil {
		return cache.Layer{}, err
	}
	p := step.Process{Argv: s.Run.Args, Env: b.environment(s.Run), Dir: s.Run.Dir, User: s.Run.User, Networks: b.cfg.Way.Networks, Offline: s.Run.Offline}
	p.Image, p.Layers = b.roots(root)
	if p.Binds, err = b.binds(ctx, i, root); err != nil {
		return cache.Layer{}, err
	}
	out := &printer{b: b, i: i, began: time.Now()}
	l, res, err := b.exec(ctx, i, p, out.write)
	out.flush()
	if err != nil {
		return l, err
	}
	if res.Truncated {
		b.say(i, "The output of the build is longer than its limit; the rest is not shown.")
	}
	if res.Exit.Code != 0 {
		b.say(i, "ERROR: exit code %d", res.Exit.Code)
		b.excerpt(s.Line, s.End)
		return l, &Failed{Name: b.Name, Line: s.Line, Text: text(s), Result: res, Limits: p.Limits}
	}
	return b.keep(i, key, l)
}

// environment returns the variables of a RUN: the way to the network, then the
// service's, then the Dockerfile's, then secrets.
func (b *build) environment(r *graph.Run) []string {
	var own, secrets []config.Variable
	for _, e := range r.Env {
		name, value, _ := strings.Cut(e, "=")
		own = append(own, config.Variable{Name: name, Value: value})
	}
	for _, e := range r.SecretEnv {
		if value, ok := secret(b.Secrets, e.ID); ok {
			secrets = append(secrets, config.Variable{Name: e.Name, Value: value})
		}
	}
	return step.Environment(b.cfg.Way.Variables(), b.Env, own, secrets)
}

// binds returns what is mounted while a RUN runs.
func (b *build) binds(ctx context.Context, i int, root stack) (list []runtime.Bind, err error) {
	for _, bind := range b.cfg.Way.Binds() {
		if bind.Target, err = realPath(root.dirs(), bind.Target); err != nil {
			return nil, err
		}
		list = append(list, bind)
	}
	for _, m := range b.steps[i].Run.Mounts {
		bind, ok, err := b.bind(ctx, i, m)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if bind.Target, err = realPath(root.dirs(), m.Target); err != nil {
			return nil, err
		}
		if bind.Target == "/" {
			return nil, slipway.Errorf(slipway.InvalidRequest, "%s: nothing can be mounted to %s.", b.place(b.steps[i]), m.Target)
		}
		list = append(list, bind)
	}
	return list, nil
}

// bind returns one mount; false for an optional secret that there is not.
func (b *build) bind(ctx context.Context, i int, m graph.Mount) (bind runtime.Bind, ok bool, err error) {
	switch m.Kind {
	case graph.MountTmpfs:
		return runtime.Bind{Memory: &runtime.Memory{Size: m.Size}, Write: true}, true, nil
	case graph.MountSecret:
		value, ok := secret(b.Secrets, m.ID)
		mode := fs.FileMode(m.Mode).Perm()
		if mode == 0 {
			mode = 0o400
		}
		return runtime.Bind{Memory: &runtime.Memory{File: true, Data: []byte(value), Mode: mode, UID: m.UID, GID: m.GID}}, ok, nil
	case graph.MountCache:
		bind, err = b.cacheMount(ctx, i, m)
		return bind, true, err
	}
	from, err := b.input(ctx, i, m.Input)
	if err != nil {
		return bind, false, err
	}
	dirs := from.dirs()
	if len(dirs) == 0 {
		dirs = []string{b.empty}
	}
	at, err := realPath(dirs, m.Path)
	if err != nil {
		return bind, false, err
	}
	if _, err := find(dirs, at); err != nil {
		return bind, false, slipway.Errorf(slipway.InvalidRequest, "%s: the source %q of the mount to %s does not exist.", b.place(b.steps[i]), m.Path, m.Target)
	}
	return runtime.Bind{Layers: dirs, Path: at, Write: !m.ReadOnly}, true, nil
}

// find returns the file at a path without links; fs.ErrNotExist if there is none.
func find(layers []string, name string) (fs.FileInfo, error) {
	if name == "/" {
		return os.Lstat(layers[0])
	}
	here := layers
	for _, dir := range parents(name) {
		next, _, err := look(here, dir)
		if err != nil {
			return nil, err
		}
		here = next
	}
	for _, dir := range here {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		st, err := root.Lstat(strings.TrimPrefix(name, "/"))
		root.Close()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && st.Mode()&fs.ModeCharDevice != 0 {
			break
		}
		return st, err
	}
	return nil, &fs.PathError{Op: "find", Path: name, Err: fs.ErrNotExist}
}

// parents returns the directories above a path, the highest first, without the root.
func parents(name string) (list []string) {
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		list = append(list, dir)
	}
	slices.Reverse(list)
	return list
}

// cacheMount returns the mount of a service's cache directory. A new one begins with the
// files of the mount's input.
func (b *build) cacheMount(ctx context.Context, i int, m graph.Mount) (bind runtime.Bind, err error) {
	sum := sha256.Sum256([]byte(m.ID))
	dir, err := b.cfg.Cache.Dir(b.Service, "docker-"+hex.EncodeToString(sum[:12]))
	if err != nil {
		return bind, err
	}
	bind = runtime.Bind{Source: dir, Write: !m.ReadOnly}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) > 0 || m.Input == graph.None {
		return bind, err
	}
	from, err := b.input(ctx, i, m.Input)
	if err != nil || len(from.dirs()) == 0 {
		return bind, err
	}
	at, err := realPath(from.dirs(), m.Path)
	if err != nil {
		return bind, err
	}
	st, err := find(from.dirs(), at)
	if err != nil || !st.IsDir() {
		return bind, nil // nothing to begin with
	}
	if owner, ok := st.Sys().(*syscall.Stat_t); ok {
		if err := errors.Join(os.Lchown(dir, int(owner.Uid), int(owner.Gid)), os.Chmod(dir, st.Mode())); err != nil {
			return bind, err
		}
	}
	return bind, b.seed(ctx, dir, from, at)
}

// seed copies files into a new cache directory.
func (b *build) seed(ctx context.Context, dir string, from stack, at string) error {
	_, out, err := b.edit(ctx, stack{}, []runtime.Bind{
		{Layers: from.dirs(), Path: at, Target: sourcesDir + "/0"}, {Source: dir, Target: "/cache", Write: true},
	}, graph.Work{Actions: []graph.Action{{Root: graph.None, Copy: &graph.Copy{
		Source: "/", Dest: "/cache", Mode: -1, Contents: true, CreateDest: true, Time: graph.NoTime, Folder: sourcesDir + "/0",
	}}}}, "")
	if err == nil && out != "" {
		err = fmt.Errorf("begin a cache mount: %s", out)
	}
	return err
}
