package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/protobuf/proto"

	"github.com/openslipway/slipway/internal/build/docker/graph"
)

// walk turns BuildKit's graph into steps.
type walk struct {
	def      *llb.Definition
	ops      map[digest.Digest]*pb.Op
	platform ocispecs.Platform

	steps  []graph.Step
	index  map[digest.Digest]int // of steps
	result int
}

// newWalk walks a state's graph.
func newWalk(ctx context.Context, s llb.State, platform ocispecs.Platform) (*walk, error) {
	w := &walk{ops: map[digest.Digest]*pb.Op{}, platform: platform, index: map[digest.Digest]int{}, result: graph.None}
	var err error
	if w.def, err = s.Marshal(ctx, llb.Platform(platform)); err != nil {
		return nil, err
	}
	if len(w.def.Def) == 0 {
		return w, nil // FROM scratch and nothing more
	}
	var last *pb.Op
	for _, text := range w.def.Def {
		op := &pb.Op{}
		if err := proto.Unmarshal(text, op); err != nil {
			return nil, err
		}
		w.ops[digest.FromBytes(text)] = op
		last = op
	}
	if len(last.Inputs) != 1 { // the last one only names the result
		return nil, errors.New("the graph has no single result")
	}
	w.result, err = w.step(last.Inputs[0])
	return w, err
}

// step returns the index of an input's step.
func (w *walk) step(in *pb.Input) (int, error) {
	d := digest.Digest(in.Digest)
	if in.Index != 0 {
		return 0, fmt.Errorf("step %s has no output %d", d, in.Index)
	}
	if i, ok := w.index[d]; ok {
		return i, nil
	}
	op, ok := w.ops[d]
	if !ok {
		return 0, fmt.Errorf("step %s is missing", d)
	}
	var inputs []int
	for _, in := range op.Inputs {
		i, err := w.step(in)
		if err != nil {
			return 0, err
		}
		inputs = append(inputs, i)
	}
	s := graph.Step{Inputs: inputs}
	w.describe(&s, d)
	if err := w.fill(&s, op); err != nil {
		return 0, err
	}
	w.steps = append(w.steps, s)
	w.index[d] = len(w.steps) - 1
	return len(w.steps) - 1, nil
}

// describe sets a step's name and place.
func (w *walk) describe(s *graph.Step, d digest.Digest) {
	if m, ok := w.def.Metadata[d]; ok {
		if name := m.Description["llb.customname"]; !strings.HasPrefix(name, "[internal]") {
			s.Name = name
		}
	}
	if w.def.Source == nil {
		return
	}
	for _, l := range w.def.Source.Locations[string(d)].GetLocations() {
		for _, r := range l.Ranges {
			if s.Line == 0 {
				s.Line = int(r.Start.Line)
			}
			s.End = max(s.End, int(r.End.Line))
		}
	}
}

// fill sets what a step does.
func (w *walk) fill(s *graph.Step, op *pb.Op) error {
	switch o := op.Op.(type) {
	case *pb.Op_Source:
		w.source(s, o.Source)
	case *pb.Op_Exec:
		if p := op.Platform; p != nil {
			wants := ocispecs.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
			if !platforms.Only(w.platform).Match(wants) {
				s.Refused = (&platformError{wants: platforms.Format(wants), is: platforms.Format(w.platform)}).Error()
			}
		}
		w.run(s, o.Exec)
	case *pb.Op_File:
		return files(s, o.File, len(op.Inputs))
	case *pb.Op_Merge:
		s.Merge = true
		s.Inputs = nil
		for _, in := range o.Merge.Inputs {
			i, err := w.step(op.Inputs[in.Input])
			if err != nil {
				return err
			}
			s.Inputs = append(s.Inputs, i)
		}
	default:
		return fmt.Errorf("a step is of the unknown kind %T", o)
	}
	return nil
}

func (w *walk) source(s *graph.Step, o *pb.SourceOp) {
	kind, rest, _ := strings.Cut(o.Identifier, "://")
	switch kind {
	case "docker-image":
		_, s.Image, _ = strings.Cut(rest, "@")
	case "local":
		s.Context = true
	case "http", "https":
		s.Fetch = &graph.Fetch{URL: o.Identifier, Checksum: o.Attrs[pb.AttrHTTPChecksum], Name: o.Attrs[pb.AttrHTTPFilename]}
	case "git":
		s.Refused = "ADD of a git repository is not supported: clone it in a RUN, or make it a submodule"
	default:
		s.Refused = fmt.Sprintf("files from %s:// are not supported", kind)
	}
}

// BuildKit mounts the script of a heredoc that has an interpreter below /dev, where
// sandboxes have a file system of their own.
const (
	pipes     = "/dev/pipes"
	pipesHere = "/.slipway/pipes"
)

// run turns an ExecOp into a Run.
func (w *walk) run(s *graph.Step, o *pb.ExecOp) {
	refuse := func(why string) {
		if s.Refused == "" {
			s.Refused = why
		}
	}
	if o.Security == pb.SecurityMode_INSECURE {
		refuse("RUN --security=insecure is not permitted: build steps have no privileges here")
	}
	if o.Network == pb.NetMode_HOST {
		refuse("RUN --network=host is not permitted: build steps have a network of their own; leave the option out")
	}
	if len(o.CdiDevices) > 0 {
		refuse("RUN --device is not supported: build steps have no devices")
	}
	r := &graph.Run{
		Args: o.Meta.Args, Env: append(o.Meta.Env, proxies(o.Meta.ProxyEnv)...), Dir: o.Meta.Cwd, User: o.Meta.User,
		Root: graph.None, Offline: o.Network == pb.NetMode_NONE,
	}
	for _, m := range o.Mounts {
		if m.Dest == "/" {
			r.Root = int(m.Input)
			continue
		}
		mount, why := mountOf(m)
		if why != "" {
			refuse(why)
			continue
		}
		if path.Clean(mount.Target) == "/" {
			refuse("nothing can be mounted to /")
			continue
		}
		switch dir, _, _ := strings.Cut(strings.TrimPrefix(path.Clean(mount.Target), "/"), "/"); {
		case path.Clean(mount.Target) == pipes: // of a heredoc with an interpreter
			mount.Target = pipesHere
			r.Args = slices.Clone(r.Args)
			for i, a := range r.Args {
				if strings.HasPrefix(a, pipes+"/") {
					r.Args[i] = pipesHere + strings.TrimPrefix(a, pipes)
				}
			}
		case mount.Kind == graph.MountTmpfs && path.Clean(mount.Target) == "/dev/shm": // every sandbox has one
			continue
		case dir == "dev" || dir == "proc" || dir == "sys":
			refuse("nothing can be mounted to " + mount.Target)
		}
		r.Mounts = append(r.Mounts, mount)
	}
	for _, e := range o.Secretenv {
		r.SecretEnv = append(r.SecretEnv, graph.SecretEnv{ID: e.ID, Name: e.Name, Optional: e.Optional})
	}
	s.Run = r
}

// mountOf returns a mount, or why there can't be one.
func mountOf(m *pb.Mount) (out graph.Mount, why string) {
	out = graph.Mount{Target: m.Dest, Input: int(m.Input), Path: m.Selector, ReadOnly: m.Readonly}
	switch m.MountType {
	case pb.MountType_BIND:
		out.Kind = graph.MountBind
		if m.Output >= 0 {
			return out, "what is written to a mount cannot be kept"
		}
	case pb.MountType_CACHE:
		out.Kind = graph.MountCache
		out.ID = strings.TrimPrefix(m.GetCacheOpt().GetID(), "/")
	case pb.MountType_TMPFS:
		out.Kind, out.Size = graph.MountTmpfs, m.GetTmpfsOpt().GetSize()
	case pb.MountType_SECRET:
		o := m.SecretOpt
		out.Kind, out.ID, out.UID, out.GID, out.Mode, out.Optional = graph.MountSecret, o.ID, int(o.Uid), int(o.Gid), o.Mode, o.Optional
	case pb.MountType_SSH:
		return out, "RUN --mount=type=ssh is not supported: pass a token by --mount=type=secret and fetch by https"
	default:
		return out, fmt.Sprintf("mounts of the kind %s are not supported", m.MountType)
	}
	return out, ""
}

// proxies returns the variables of a proxy that was given as build arguments.
func proxies(p *pb.ProxyEnv) (env []string) {
	if p == nil {
		return nil
	}
	for _, v := range []struct{ name, value string }{
		{"http_proxy", p.HttpProxy}, {"https_proxy", p.HttpsProxy}, {"ftp_proxy", p.FtpProxy}, {"no_proxy", p.NoProxy}, {"all_proxy", p.AllProxy},
	} {
		if v.value != "" {
			env = append(env, strings.ToUpper(v.name)+"="+v.value, v.name+"="+v.value)
		}
	}
	return env
}

// files turns a FileOp into actions. Its actions are a chain: each works on what the one
// before made. Nothing that a Dockerfile says results in another form.
func files(s *graph.Step, o *pb.FileOp, inputs int) error {
	root := graph.None
	for i, a := range o.Actions {
		switch {
		case i == 0 && a.Input < int64(inputs):
			root = int(a.Input)
		case i > 0 && a.Input == int64(inputs+i-1):
		default:
			return fmt.Errorf("action %d works on %d", i, a.Input)
		}
		out := graph.Action{Root: root}
		var owner *pb.ChownOpt
		switch f := a.Action.(type) {
		case *pb.FileAction_Copy:
			c := f.Copy
			if a.SecondaryInput >= int64(inputs) {
				return fmt.Errorf("action %d copies from %d", i, a.SecondaryInput)
			}
			owner = c.Owner
			out.Copy = &graph.Copy{
				From: int(a.SecondaryInput), Source: c.Src, Dest: c.Dest, Mode: int(c.Mode), ModeText: c.ModeStr, Follow: c.FollowSymlink,
				Contents: c.DirCopyContents, Unpack: c.AttemptUnpackDockerCompatibility, CreateDest: c.CreateDestPath, Wildcard: c.AllowWildcard,
				AllowEmpty: c.AllowEmptyWildcard, Include: c.IncludePatterns, Exclude: c.ExcludePatterns, Required: c.RequiredPaths,
				Replace: c.AlwaysReplaceExistingDestPaths, Time: c.Timestamp,
			}
		case *pb.FileAction_Mkdir:
			m := f.Mkdir
			owner, out.Mkdir = m.Owner, &graph.Make{Path: m.Path, Mode: uint32(m.Mode), Parents: m.MakeParents, Time: m.Timestamp}
		case *pb.FileAction_Mkfile:
			m := f.Mkfile
			owner, out.Mkfile = m.Owner, &graph.Make{Path: m.Path, Mode: uint32(m.Mode), Data: m.Data, Time: m.Timestamp}
		case *pb.FileAction_Symlink:
			m := f.Symlink
			owner, out.Symlink = m.Owner, &graph.Make{Path: m.Newpath, To: m.Oldpath, Time: m.Timestamp}
		case *pb.FileAction_Rm:
			out.Remove = &graph.Make{Path: f.Rm.Path, Missing: f.Rm.AllowNotFound, Wildcard: f.Rm.AllowWildcard}
		default:
			return fmt.Errorf("action %d is of the unknown kind %T", i, f)
		}
		var why string
		if out.Owner, why = ownerOf(owner); why != "" && s.Refused == "" {
			s.Refused = why
		}
		s.Files = append(s.Files, out)
	}
	return nil
}

func ownerOf(o *pb.ChownOpt) (owner *graph.Owner, why string) {
	if o == nil {
		return nil, ""
	}
	text := func(u *pb.UserOpt) string {
		switch u := u.GetUser().(type) {
		case *pb.UserOpt_ByID:
			return strconv.FormatUint(uint64(u.ByID), 10)
		case *pb.UserOpt_ByName:
			if u.ByName.Input < 0 {
				why = fmt.Sprintf("the user or group %q cannot be found in an empty file system: give its number, or leave --link out", u.ByName.Name)
			}
			return u.ByName.Name
		}
		return ""
	}
	owner = &graph.Owner{User: text(o.User), Group: text(o.Group)}
	return owner, why
}
