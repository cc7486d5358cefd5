package runtimes

import (
	"bytes"
	"cmp"
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

	Override     []byte   // the operator's table, which replaces entries by name
	OverrideName string   // of its file, for errors
	Way          step.Way // to package registries
	// RecipesOnly makes every runtime by its recipe; publishers' images are not pulled.
	RecipesOnly bool
	// CheckEvery is the time between two looks for newer packages of a runtime. 0: a day.
	CheckEvery time.Duration
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
	cfg.CheckEvery = cmp.Or(cfg.CheckEvery, checkEvery)
	if cfg.Apt == "" {
		cfg.Apt = "/etc/apt"
	}
	t, err := parseTable(cfg.OverrideName, cfg.Override)
	if err != nil {
		return nil, err
	}
	s := &Set{cfg: cfg, table: t, making: map[string]chan struct{}{}}
	if err := os.RemoveAll(s.path("work")); err != nil {
		return nil, fmt.Errorf("remove unfinished runtimes: %w", err)
	}
	for _, dir := range s.Dirs() {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open the directory of runtimes: %w", err)
		}
	}
	return s, nil
}

// Dirs returns the directories that the set needs at any time.
func (s *Set) Dirs() []string { return []string{s.path("work"), s.path("made")} }

func (s *Set) path(parts ...string) string {
	return filepath.Join(append([]string{s.cfg.Dir}, parts...)...)
}

// Made is a runtime, or a base of runtimes, that is ready.
type Made struct {
	Key     string    `json:"key"` // of what it was made from
	Image   string    `json:"image"`
	Base    string    `json:"base,omitempty"` // image of the base that a recipe began with
	Version string    `json:"version,omitempty"`
	Origin  string    `json:"origin"`         // reference of the publisher's image, or "recipe"
	Lock    string    `json:"lock,omitempty"` // version that was asked for
	At      time.Time `json:"at"`
	Checked time.Time `json:"checked"` // for newer packages

	// Replaced are the images that this one was made in place of, lately.
	Replaced []Replaced `json:"replaced,omitempty"`
}

// Replaced is an image that was a runtime.
type Replaced struct {
	Image string    `json:"image"`
	At    time.Time `json:"at"` // when another one took its place
}

// keepReplaced is how long an image stays that a running build may have. A build has at
// most a few stages, of half an hour each.
const keepReplaced = 6 * time.Hour

// replacedAfter returns the replaced images that have to stay.
func (m Made) replacedAfter(now time.Time) []Replaced {
	return slices.DeleteFunc(slices.Clone(m.Replaced), func(r Replaced) bool { return now.Sub(r.At) > keepReplaced })
}

const originRecipe = "recipe"

// unsupported is App Runner's sentence.
const unsupported = "The specified runtime version is not supported. Refer to the Release information in the App Runner Developer guide for supported runtime versions."

// lockForm is what a version may look like: it becomes a part of names and commands.
var lockForm = regexp.MustCompile(`^[0-9]+(\.[0-9]+){0,4}$`)

// Resolve returns a runtime, and pulls or makes it first if it is not there. lock is a
// version or the beginning of one, "" for any. say is called with lines for the build's
// log. It returns a *slipway.Error for what the user or the operator can fix.
func (s *Set) Resolve(ctx context.Context, name, lock string, say func(line string)) (Runtime, error) {
	known, ok := config.RuntimeNamed(name)
	if !ok {
		return Runtime{}, slipway.Errorf(slipway.InvalidRequest, "There is no runtime %.50q.", name)
	}
	e, ok := s.table.entry(name)
	if !ok {
		return Runtime{}, slipway.Errorf(slipway.InvalidRequest, "%s The runtime %s is not in this server's table of runtimes.", unsupported, name)
	}
	if lock != "" {
		if !lockForm.MatchString(lock) {
			return Runtime{}, slipway.Errorf(slipway.InvalidRequest, "%s %.30q is no version.", unsupported, lock)
		}
		if _, has := known.Accepts(lock); !has {
			return Runtime{}, slipway.Errorf(slipway.InvalidRequest, "%s %s is no version of %s, which has %s.", unsupported, lock, name, strings.Join(known.Lines, " and "))
		}
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
	if m.Origin == originRecipe && e.Substitute != "" && (!e.Exact || lock == "") {
		rt.Notes = append(rt.Notes, e.Substitute)
	}
	return rt, nil
}

// within reports whether a version is the locked one, or one of its line.
func within(version, lock string) bool {
	return version == lock || strings.HasPrefix(version, lock+".")
}

// check refuses a runtime whose version is not the locked one. A lock that says no more
// than the runtime's name does is no reason to refuse a substitute.
func (e entry) check(m Made, lock string) error {
	if lock == "" || within(m.Version, lock) || m.Origin == originRecipe && e.Substitute != "" && within(e.Default, lock) {
		return nil
	}
	if m.Origin != originRecipe {
		return slipway.Errorf(slipway.InvalidRequest, "%s runtime-version is %s; the image %s of %s has %s. Set it to %[5]s, or leave it out.", unsupported, lock, m.Origin, e.Name, m.Version)
	}
	image := ""
	if e.Image != "" {
		image = ", or let the server reach the publisher's image (" + e.imageOf(lock) + ")"
	}
	return slipway.Errorf(slipway.InvalidRequest, "%s runtime-version is %s; this server makes %s of packages, which have %s. Set it to %[4]s, leave it out%s.", unsupported, lock, e.Name, m.Version, image)
}

// imageOf returns the publisher's image of a version.
func (e entry) imageOf(version string) string {
	return strings.ReplaceAll(e.Image, "{version}", version)
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

// want is one version of an entry, and the names of the records that may have it.
type want struct {
	entry
	version string // locked, or the default
	pulled  string // record of the publisher's image of this version
	cooked  string // record of what the recipe makes: the same for all versions, unless it is exact
	base    string // digest of the image that the recipe began with; "" of a pulled one
}

func (e entry) want(lock string) want {
	w := want{entry: e, version: lock, cooked: e.Name + "@"}
	if lock == "" || within(e.Default, lock) { // "3" is the default, 3.11, and not the newest 3
		w.version = e.Default
	}
	w.pulled = e.Name + "@" + w.version
	if e.Exact {
		w.cooked = w.pulled
	}
	return w
}

// ready returns a runtime that is there, or makes it.
func (s *Set) ready(ctx context.Context, e entry, lock string, say func(string)) (Made, error) {
	w := e.want(lock)
	done, err := s.lock(ctx, "version "+w.pulled)
	if err != nil {
		return Made{}, err
	}
	defer done()
	for _, record := range []string{w.pulled, w.cooked} {
		if m, ok := s.find(ctx, record, s.keyOf(w, record)); ok && e.check(m, lock) == nil {
			s.used(record)
			return m, nil
		}
	}
	digest, failed := s.pull(ctx, w)
	var m Made
	switch {
	case ctx.Err() != nil:
		return Made{}, context.Cause(ctx)
	case digest != "":
		m, err = s.keep(ctx, w, w.pulled, digest, w.imageOf(w.version))
	case e.Recipe == nil:
		return Made{}, e.missing(w, failed)
	default:
		m, err = s.make(ctx, w, say)
	}
	if err != nil {
		return Made{}, err
	}
	return m, e.check(m, lock)
}

// missing says why there is no way to a runtime.
func (e entry) missing(w want, failed error) error {
	why := ""
	if failed != nil {
		why = fmt.Sprintf(" (%s could not be pulled: %s.)", e.imageOf(w.version), strings.TrimSuffix(failed.Error(), "."))
	}
	return slipway.Errorf(slipway.InvalidRequest, "%s %s%s", unsupported, cmp.Or(e.Absent, "This server has no recipe for "+e.Name+"."), why)
}

// pull gets the publisher's image of a version; "" without an error if there is none.
func (s *Set) pull(ctx context.Context, w want) (digest string, err error) {
	if w.Image == "" || s.cfg.RecipesOnly {
		return "", nil
	}
	ref := w.imageOf(w.version)
	img, err := s.cfg.Images.Pull(image.WithPermit(ctx, nil), ref, nil)
	if err != nil {
		s.cfg.Log.Debug("cannot pull the image of a runtime", "runtime", w.Name, "image", ref, "err", err)
		return "", err
	}
	return img.Digest, nil
}

// keep makes a runtime of the publisher's image.
func (s *Set) keep(ctx context.Context, w want, record, digest, origin string) (Made, error) {
	if w.Add == nil {
		return s.finish(ctx, w, record, digest, origin)
	}
	added, err := s.add(ctx, w, digest)
	if err != nil {
		return Made{}, s.failed(ctx, w, err)
	}
	w.base = digest
	return s.finish(ctx, w, record, added, origin)
}

// make makes a runtime by its recipe, unless somebody has done so meanwhile.
func (s *Set) make(ctx context.Context, w want, say func(string)) (Made, error) {
	done, err := s.lock(ctx, "recipe "+w.cooked)
	if err != nil {
		return Made{}, err
	}
	defer done()
	if m, ok := s.find(ctx, w.cooked, s.keyOf(w, w.cooked)); ok {
		return m, nil
	}
	say(fmt.Sprintf("The runtime %s is being made of packages, once for all services. This takes a minute or two.", w.Name))
	var digest string
	if digest, w.base, err = s.cook(ctx, w.entry, w.version, say); err != nil {
		return Made{}, s.failed(ctx, w, err)
	}
	return s.finish(ctx, w, w.cooked, digest, originRecipe)
}

// failed words why a recipe failed, for whoever deploys: most often a package archive
// does not answer.
func (s *Set) failed(ctx context.Context, w want, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if f, ok := errors.AsType[*commandFailed](err); ok && f.code == codeNoVersion {
		return slipway.Errorf(slipway.InvalidRequest, "%s %s", unsupported, f.last)
	}
	s.cfg.Log.Error("cannot make a runtime", "runtime", w.Name, "err", err)
	return slipway.Errorf(slipway.InvalidRequest, "The runtime %s could not be made: %s", w.Name, strings.TrimSuffix(err.Error(), ".")+".")
}

// finish records a runtime that has become ready.
func (s *Set) finish(ctx context.Context, w want, record, digest, origin string) (Made, error) {
	m := Made{Key: s.keyOf(w, record), Image: digest, Base: w.base, Origin: origin, Lock: w.version}
	var err error
	if m.Version, err = s.version(ctx, w.entry, digest); err != nil {
		return Made{}, err
	}
	s.used(record)
	return m, s.record(record, m)
}

// keyOf identifies what the record of a version was made from.
func (s *Set) keyOf(w want, record string) string {
	if record == w.pulled && !w.Exact {
		return keyOf(w.Name, w.imageOf(w.version), w.Add)
	}
	return keyOf(w.entry, s.baseOf(w.entry), record)
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

// Digests returns the images of all runtimes and bases that are there, and of those
// that were replaced a short while ago, which a running build may have: a collection of
// images has to keep them.
func (s *Set) Digests() ([]string, error) {
	all, err := s.made(true)
	if err != nil {
		return nil, err
	}
	var digests []string
	for _, m := range all {
		digests = append(digests, m.Image)
		for _, r := range m.replacedAfter(time.Now()) {
			digests = append(digests, r.Image)
		}
	}
	slices.Sort(digests)
	return slices.Compact(digests), nil
}

// made returns all records by name. images says that all images have to be among them: a
// record that the disk does not give is an error then. One that is damaged is no record: its
// image is made again.
func (s *Set) made(images bool) (map[string]Made, error) {
	list, err := os.ReadDir(s.path("made"))
	if err != nil {
		return nil, err
	}
	all := map[string]Made{}
	for _, e := range list {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		m, err := s.read(name)
		if _, failed := errors.AsType[*fs.PathError](err); failed && images {
			return nil, fmt.Errorf("read the record of runtime %s, whose image is not known: %w", name, err)
		}
		if err != nil {
			s.cfg.Log.Warn("a runtime's record is unreadable; it is made again", "runtime", name, "err", err)
			continue
		}
		all[name] = m
	}
	return all, nil
}

// Status is one runtime of the table, for people.
type Status struct {
	Name       string
	Title      string // "Python 3.11"
	Kind       config.BuildKind
	Image      string // the publisher's, with {version} in place of one; "" for none
	Suite      string // of Debian, whose packages the recipe takes; "" if there is no recipe
	Packages   []string
	Exact      bool   // the recipe makes every version
	Made       []Made // by version; none if it was not needed yet
	Substitute string // how the recipe differs from App Runner's runtime
	Absent     string // why it cannot be made
	End        string // of support by its publisher, a date
}

// List returns all runtimes of the table, in its order.
func (s *Set) List() ([]Status, error) {
	all, err := s.made(false)
	if err != nil {
		return nil, err
	}
	list := s.table.list()
	for i := range list {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if of, _, _ := strings.Cut(name, "@"); of == list[i].Name {
				list[i].Made = append(list[i].Made, all[name])
			}
		}
	}
	return list, nil
}

// Embedded returns the runtimes of the table without an operator's, for documents.
func Embedded() ([]Status, error) {
	t, err := parseTable("", nil)
	return t.list(), err
}

func (t *table) list() (list []Status) {
	for _, e := range t.Runtimes {
		known, _ := config.RuntimeNamed(e.Name)
		st := Status{
			Name: e.Name, Title: known.Title, Kind: known.Build, Image: e.Image, Substitute: e.Substitute, Absent: e.Absent, End: e.End,
		}
		if e.Recipe != nil {
			st.Suite = t.Bases[e.Recipe.Base].Suite
			st.Packages = slices.Concat(e.Recipe.Packages)
			st.Exact = e.Exact
		}
		list = append(list, st)
	}
	return list
}

// Forget makes the next build pull or make the runtime of that name again: after
// security updates of its packages. Its images stay until they are collected.
func (s *Set) Forget(name string) error {
	all, err := s.made(false)
	if err != nil {
		return err
	}
	for file := range all {
		if of, _, _ := strings.Cut(file, "@"); of == name {
			if err := s.forget(file); err != nil {
				return err
			}
		}
	}
	return nil
}
