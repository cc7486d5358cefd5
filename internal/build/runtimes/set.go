package runtimes

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/build/step"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/source/config"
)

// Images is the part of the image store that runtimes need.
type Images interface {
	Pull(ctx context.Context, ref string, progress func(image.Progress)) (image.Image, error)
	Adopt(ctx context.Context, a image.Adoption) (image.Image, error)
	Get(digest string) (image.Image, error)
	// Layers fails if the store does not have the image, or not completely.
	Layers(ctx context.Context, digest string) ([]string, error)
}

// Runner runs the commands of recipes. step.Runner is one.
type Runner interface {
	Run(ctx context.Context, s step.Stage, log step.Log) (step.Result, error)
}

// Config is what a Set needs. Dir, Images, Runner and Log are required.
type Config struct {
	Dir    string // state; made if it is missing. On the image store's file system
	Images Images
	Runner Runner
	Log    *slog.Logger

	Override []byte   // the operator's table, which replaces entries by name
	Way      step.Way // to package registries
	// RecipesOnly leaves publishers' images alone.
	RecipesOnly bool
	// Apt is the configuration of apt whose sources bases are made from. "": /etc/apt.
	Apt string
}

// Set is the runtimes of one server. It is safe for concurrent use.
type Set struct {
	cfg   Config
	table table

	mu     sync.Mutex // guards making
	making map[string]chan struct{}
}

// New reads the table. No other process may use the directory; what an earlier one left
// unfinished is removed.
func New(cfg Config) (*Set, error) {
	if cfg.Dir == "" || cfg.Images == nil || cfg.Runner == nil || cfg.Log == nil {
		return nil, errors.New("runtimes need a directory, images, a runner and a log")
	}
	if cfg.Apt == "" {
		cfg.Apt = "/etc/apt"
	}
	t, err := parseTable(cfg.Override)
	if err != nil {
		return nil, err
	}
	s := &Set{cfg: cfg, table: t, making: map[string]chan struct{}{}}
	if err := os.RemoveAll(s.path("work")); err != nil {
		return nil, fmt.Errorf("remove unfinished runtimes: %w", err)
	}
	for _, dir := range []string{"work", "made"} {
		if err := os.MkdirAll(s.path(dir), 0o700); err != nil {
			return nil, fmt.Errorf("open the directory of runtimes: %w", err)
		}
	}
	return s, nil
}

func (s *Set) path(parts ...string) string {
	return filepath.Join(append([]string{s.cfg.Dir}, parts...)...)
}

// Made is a runtime, or a base of runtimes, that is ready.
type Made struct {
	Key     string    `json:"key"` // of what it was made from
	Image   string    `json:"image"`
	Version string    `json:"version,omitempty"`
	Origin  string    `json:"origin"` // reference of the publisher's image, or "recipe"
	At      time.Time `json:"at"`
}

const originRecipe = "recipe"

// unsupported is App Runner's sentence.
const unsupported = "The specified runtime version is not supported. Refer to the Release information in the App Runner Developer guide for supported runtime versions."

// lockForm is what a version may look like: it becomes a part of names and commands.
var lockForm = regexp.MustCompile(`^[0-9]+(\.[0-9]+){0,4}$`)

// Resolve returns a runtime, and pulls or makes it first if it is not there. lock is a
// version or the beginning of one, "" for any. say is called with lines for the build's
// log. It returns a *slipway.Error for what the user can fix.
func (s *Set) Resolve(ctx context.Context, name, lock string, say func(line string)) (Runtime, error) {
	known, ok := config.RuntimeNamed(name)
	if !ok {
		return Runtime{}, slipway.Errorf(slipway.InvalidRequest, "There is no runtime %.50q.", name)
	}
	e, ok := s.table.entry(name)
	if !ok {
		return Runtime{}, slipway.Errorf(slipway.InvalidRequest, "%s The runtime %s is not in this server's table of runtimes.", unsupported, name)
	}
	if lock != "" && !lockForm.MatchString(lock) {
		return Runtime{}, slipway.Errorf(slipway.InvalidRequest, "%s %.30q is no version.", unsupported, lock)
	}
	m, err := s.ready(ctx, e, lock, say)
	if err != nil {
		return Runtime{}, err
	}
	rt := Runtime{Name: name, Image: m.Image, Version: m.Version, Kind: known.Build}
	if rt.Env, err = s.environment(m.Image); err != nil {
		return Runtime{}, err
	}
	for _, c := range e.Caches {
		rt.Caches = append(rt.Caches, s.table.Caches[c])
	}
	if m.Origin == originRecipe && e.Substitute != "" {
		rt.Notes = append(rt.Notes, e.Substitute)
	}
	if lock != "" && !within(m.Version, lock) {
		rt.Notes = append(rt.Notes, fmt.Sprintf("runtime-version is %s, which this server does not have; %s is used.", lock, m.Version))
	}
	return rt, nil
}

// within reports whether a version is the locked one, or one of its line.
func within(version, lock string) bool {
	return version == lock || strings.HasPrefix(version, lock+".")
}

// environment returns the variables of a runtime's image.
func (s *Set) environment(digest string) ([]config.Variable, error) {
	img, err := s.cfg.Images.Get(digest)
	if err != nil {
		return nil, err
	}
	var list []config.Variable
	for _, v := range img.Config.Env {
		name, value, _ := strings.Cut(v, "=")
		list = append(list, config.Variable{Name: name, Value: value})
	}
	return list, nil
}

// ready returns a runtime that is there, or makes it.
func (s *Set) ready(ctx context.Context, e entry, lock string, say func(string)) (Made, error) {
	wanted := ""
	if e.Exact {
		wanted = lock
		if wanted == "" {
			wanted = e.Default
		}
		if !within(wanted, e.Default) {
			return Made{}, slipway.Errorf(slipway.InvalidRequest, "%s %s is not a version of %s.", unsupported, wanted, e.Name)
		}
	}
	file := e.Name + "@" + wanted
	done, err := s.lock(ctx, file)
	if err != nil {
		return Made{}, err
	}
	defer done()
	key := keyOf(e, s.baseOf(e), wanted, s.cfg.RecipesOnly)
	if m, ok := s.find(ctx, file, key); ok {
		return m, nil
	}
	m := Made{Key: key, At: time.Now().UTC()}
	if m.Image, m.Origin, err = s.provide(ctx, e, wanted, say); err != nil {
		return Made{}, err
	}
	if m.Version, err = s.version(ctx, e, m.Image); err != nil {
		return Made{}, err
	}
	return m, s.store(file, m)
}

func (s *Set) baseOf(e entry) base {
	if e.Recipe == nil {
		return base{}
	}
	return s.table.Bases[e.Recipe.Base]
}

// keyOf identifies what something is made from.
func keyOf(inputs ...any) string {
	text, err := json.Marshal(inputs)
	if err != nil {
		return "" // cannot happen: there are only strings
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// lock takes the lock of a name.
func (s *Set) lock(ctx context.Context, name string) (unlock func(), err error) {
	for {
		s.mu.Lock()
		busy, ok := s.making[name]
		if !ok {
			mine := make(chan struct{})
			s.making[name] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.making, name)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// find returns what was made under a name with this key, if the image store still has
// it.
func (s *Set) find(ctx context.Context, name, key string) (Made, bool) {
	m, err := s.read(name)
	if err != nil || m.Key != key {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.cfg.Log.Warn("a runtime's record is unreadable; it is made again", "runtime", name, "err", err)
		}
		return Made{}, false
	}
	if _, err := s.cfg.Images.Layers(ctx, m.Image); err != nil {
		return Made{}, false
	}
	return m, true
}

func (s *Set) read(name string) (m Made, err error) {
	text, err := os.ReadFile(s.path("made", name+".json"))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	return m, err
}

func (s *Set) store(name string, m Made) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return atomicfile.Write(s.path("made", name+".json"), text, 0o600)
}

// provide pulls the publisher's image, or makes the runtime by its recipe.
func (s *Set) provide(ctx context.Context, e entry, wanted string, say func(string)) (digest, origin string, err error) {
	var pull error
	if e.Image != "" && !s.cfg.RecipesOnly {
		img, err := s.cfg.Images.Pull(ctx, e.Image, nil)
		if err == nil {
			return img.Digest, e.Image, nil
		}
		if ctx.Err() != nil {
			return "", "", context.Cause(ctx)
		}
		pull = err
		s.cfg.Log.Debug("cannot pull the image of a runtime", "runtime", e.Name, "image", e.Image, "err", err)
	}
	if e.Recipe == nil {
		if pull != nil {
			return "", "", slipway.Errorf(slipway.InvalidRequest, "%s %s (%s could not be pulled: %v.)", unsupported, e.Absent, e.Image, pull)
		}
		return "", "", slipway.Errorf(slipway.InvalidRequest, "%s %s", unsupported, e.Absent)
	}
	say(fmt.Sprintf("The runtime %s is being made from packages, once for all services. This takes a minute or two.", e.Name))
	digest, err = s.cook(ctx, e, wanted, say)
	if err != nil {
		return "", "", fmt.Errorf("make the runtime %s: %w", e.Name, err)
	}
	return digest, originRecipe, nil
}

// versionForm finds a version in the output of `python3 --version` and the like.
var versionForm = regexp.MustCompile(`[0-9]+(\.[0-9]+)+`)

// version asks the language for its version.
func (s *Set) version(ctx context.Context, e entry, digest string) (string, error) {
	if e.Version == "" {
		return e.Default, nil
	}
	env, err := s.environment(digest)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	res, err := s.cfg.Runner.Run(ctx, step.Stage{
		Image: digest, Commands: []string{e.Version}, Dir: "/", Env: step.Environment(env), Limits: limits(),
	}, output{&out})
	if err != nil {
		return "", err
	}
	v := versionForm.FindString(out.String())
	if res.Exit.Code != 0 || v == "" {
		return "", fmt.Errorf("the runtime %s does not tell its version: code %d, %.200q", e.Name, res.Exit.Code, out.String())
	}
	return v, nil
}

// output keeps what a stage writes.
type output struct{ to *bytes.Buffer }

func (output) Begin(int)            {}
func (o output) Output(data []byte) { o.to.Write(data) }

// Digests returns the images of all runtimes and bases that are there, which a
// collection of images has to keep.
func (s *Set) Digests() ([]string, error) {
	all, err := s.made()
	if err != nil {
		return nil, err
	}
	var digests []string
	for _, m := range all {
		digests = append(digests, m.Image)
	}
	slices.Sort(digests)
	return slices.Compact(digests), nil
}

// made returns all records by name.
func (s *Set) made() (map[string]Made, error) {
	list, err := os.ReadDir(s.path("made"))
	if err != nil {
		return nil, err
	}
	all := map[string]Made{}
	for _, e := range list {
		name := strings.TrimSuffix(e.Name(), ".json")
		if m, err := s.read(name); err == nil {
			all[name] = m
		}
	}
	return all, nil
}

// Status is one runtime of the table, for people.
type Status struct {
	Name       string
	Title      string // "Python 3.11"
	Kind       config.BuildKind
	Made       []Made // by version; none if it was not needed yet
	Substitute string // how the recipe differs from App Runner's runtime
	Absent     string // why it cannot be made
	End        string // of support by its publisher, a date
}

// List returns all runtimes of the table, in its order.
func (s *Set) List() ([]Status, error) {
	all, err := s.made()
	if err != nil {
		return nil, err
	}
	var list []Status
	for _, e := range s.table.Runtimes {
		known, _ := config.RuntimeNamed(e.Name)
		st := Status{Name: e.Name, Title: known.Title, Kind: known.Build, Substitute: e.Substitute, Absent: e.Absent, End: e.End}
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if of, _, _ := strings.Cut(name, "@"); of == e.Name {
				st.Made = append(st.Made, all[name])
			}
		}
		list = append(list, st)
	}
	return list, nil
}

// Forget makes the next build pull or make the runtime of that name again: after
// security updates of its packages. Its images stay until they are collected.
func (s *Set) Forget(name string) error {
	all, err := s.made()
	if err != nil {
		return err
	}
	for file := range all {
		if of, _, _ := strings.Cut(file, "@"); of == name {
			if err := os.Remove(s.path("made", file+".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
