package runtimes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/build/step"
)

const (
	// checkEvery is the time between two looks for newer packages of a runtime, unless
	// Config says otherwise.
	checkEvery = 24 * time.Hour
	// fetchedAge is how old a runtime gets whose recipe fetches the newest version of a
	// line: nobody tells when there is a newer one.
	fetchedAge = 7 * 24 * time.Hour
	// unusedAge is how long a runtime stays that no build has asked for.
	unusedAge = 30 * 24 * time.Hour
)

// Refresh looks for newer packages of the runtimes that are there, and makes those again
// that have any: their packages' security updates reach a service at its next
// deployment. Publishers' images are asked for again. Builds go on with the runtime that
// is there meanwhile. Runtimes that are not in the table any more, or that no build has
// asked for in a month, are forgotten. What fails is tried at the next call.
func (s *Set) Refresh(ctx context.Context) error {
	all, err := s.made(false)
	if err != nil {
		return err
	}
	var errs []error
	// Bases first: runtimes are made again on a newer one.
	for _, record := range slices.SortedFunc(maps.Keys(all), basesFirst) {
		m, err := s.read(record) // a build may have made it again meanwhile
		if err != nil {
			continue
		}
		if err := s.refresh(ctx, record, m); err != nil {
			errs = append(errs, fmt.Errorf("look for newer packages of %s: %w", record, err))
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return errors.Join(errs...)
}

func basesFirst(a, b string) int {
	if x, y := strings.HasPrefix(a, basePrefix), strings.HasPrefix(b, basePrefix); x != y {
		if x {
			return -1
		}
		return 1
	}
	return strings.Compare(a, b)
}

func (s *Set) refresh(ctx context.Context, record string, m Made) error {
	if time.Since(m.Checked) < s.cfg.CheckEvery {
		return nil
	}
	if name, ok := strings.CutPrefix(record, basePrefix); ok {
		return s.refreshBase(ctx, name, m)
	}
	if name, ok := strings.CutPrefix(record, slimPrefix); ok { // made again with its runtime
		if _, ok := s.table.entry(name); !ok {
			return s.forget(record)
		}
		return nil
	}
	name, _, _ := strings.Cut(record, "@")
	e, ok := s.table.entry(name)
	w := want{entry: e, version: m.Lock, pulled: e.Name + "@" + m.Lock, cooked: record}
	if ok && m.Origin != originRecipe {
		w.pulled = record
	}
	if !ok || m.Key != s.keyOf(w, record) || s.unused(record) {
		s.cfg.Log.Info("forgetting a runtime that is not needed any more", "runtime", record)
		return s.forget(record)
	}
	if _, err := s.cfg.Images.Layers(ctx, m.Image); err != nil {
		return s.forget(record) // its image is gone; the next build makes it again
	}
	if m.Origin != originRecipe {
		return s.pullAgain(ctx, w, record, m)
	}
	base, err := s.read(basePrefix + e.Recipe.Base)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	old := e.Exact && time.Since(m.At) > fetchedAge
	if m.Base == base.Image && !old {
		newer, err := s.newer(ctx, m.Image)
		if err != nil || len(newer) == 0 {
			return errors.Join(err, s.checked(record, m, err))
		}
		s.cfg.Log.Info("packages of a runtime have newer versions; making it again", "runtime", record, "packages", strings.Join(newer, " "))
	}
	done, err := s.lock(ctx, "recipe "+record)
	if err != nil {
		return err
	}
	defer done()
	digest, from, err := s.cook(ctx, e, m.Lock, func(string) {})
	if err != nil {
		return err
	}
	w.base = from
	return s.replace(ctx, w, record, m, digest, originRecipe)
}

// pullAgain asks the publisher for a newer image.
func (s *Set) pullAgain(ctx context.Context, w want, record string, m Made) error {
	digest, err := s.pull(ctx, w)
	if err != nil || digest == "" {
		return err
	}
	if digest == m.Image || digest == m.Base {
		return s.checked(record, m, nil)
	}
	now, err := s.keep(ctx, w, record, digest, m.Origin)
	if err == nil {
		s.cfg.Log.Info("a runtime is newer", "runtime", record, "version", now.Version, "was", m.Version)
	}
	return err
}

// replace records that a runtime was made again or pulled again.
func (s *Set) replace(ctx context.Context, w want, record string, was Made, digest, origin string) error {
	if digest == was.Image {
		return s.checked(record, was, nil)
	}
	m, err := s.finish(ctx, w, record, digest, origin)
	if err == nil {
		s.cfg.Log.Info("a runtime is newer", "runtime", record, "version", m.Version, "was", was.Version)
	}
	return err
}

// checked records that nothing newer was found, unless the check failed.
func (s *Set) checked(record string, m Made, failed error) error {
	if failed != nil {
		return nil
	}
	is, err := s.read(record)
	if err != nil || is.Image != m.Image {
		return nil //nolint:nilerr // it was forgotten, or made again, meanwhile
	}
	is.Checked = time.Now().UTC()
	return s.store(record, is)
}

func (s *Set) refreshBase(ctx context.Context, name string, m Made) error {
	record := basePrefix + name
	b, ok := s.table.Bases[name]
	if !ok {
		return s.forget(record)
	}
	newer, err := s.newer(ctx, m.Image)
	if err != nil || len(newer) == 0 {
		return errors.Join(err, s.checked(record, m, err))
	}
	s.cfg.Log.Info("packages of a runtime have newer versions; making it again", "runtime", record, "packages", strings.Join(newer, " "))
	done, err := s.lock(ctx, record)
	if err != nil {
		return err
	}
	defer done()
	_, err = s.makeBase(ctx, name, b, func(string) {})
	return err
}

// newer returns the packages of an image that have newer versions.
func (s *Set) newer(ctx context.Context, image string) ([]string, error) {
	var out bytes.Buffer
	var log tail
	res, err := s.cfg.Runner.Run(ctx, step.Stage{
		Image: image, Dir: "/", Env: s.env(""), Limits: limits(), Networks: s.cfg.Way.Networks, Binds: s.cfg.Way.Binds(),
		Commands: []string{update, "apt-get -q -s dist-upgrade"},
	}, both{output{&out}, &log})
	if err != nil {
		return nil, err
	}
	// For old releases of apt, a mirror that does not answer is a reason to warn only.
	if res.Exit.Code != 0 || strings.Contains(out.String(), "\nW: Failed to fetch") {
		return nil, &commandFailed{stage: "the look for newer packages", command: res.Last + 1, code: res.Exit.Code, says: log.says()}
	}
	var list []string
	for line := range strings.Lines(out.String()) {
		if rest, ok := strings.CutPrefix(line, "Inst "); ok {
			name, _, _ := strings.Cut(rest, " ")
			list = append(list, name)
		}
	}
	return list, nil
}

// both passes output to two logs.
type both struct{ a, b step.Log }

func (l both) Begin(i int)        { l.a.Begin(i); l.b.Begin(i) }
func (l both) Output(data []byte) { l.a.Output(data); l.b.Output(data) }

// used records that a build has asked for a runtime.
func (s *Set) used(record string) {
	now := time.Now()
	if err := os.Chtimes(s.path("made", record+".used"), now, now); errors.Is(err, fs.ErrNotExist) {
		err = os.WriteFile(s.path("made", record+".used"), nil, 0o600)
		if err != nil {
			s.cfg.Log.Warn("cannot record the use of a runtime", "runtime", record, "err", err)
		}
	}
}

// unused reports whether no build has asked for a runtime for a long time.
func (s *Set) unused(record string) bool {
	st, err := os.Stat(s.path("made", record+".used"))
	return err == nil && time.Since(st.ModTime()) > unusedAge
}

// forget removes a record. Its image stays until it is collected.
func (s *Set) forget(record string) error {
	var errs []error
	for _, ext := range []string{".json", ".used"} {
		if err := os.Remove(s.path("made", record+ext)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
