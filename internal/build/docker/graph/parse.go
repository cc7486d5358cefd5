package graph

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// maxSteps bounds the steps of a Dockerfile.
const maxSteps = 5000

// Parse reads and checks an answer: every index is one of an earlier step or of an input,
// each step does one thing, and every path is absolute and clean.
func Parse(text []byte) (Answer, error) {
	var a Answer
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("parse the steps of a Dockerfile: %w", err)
	}
	if len(a.Steps) > maxSteps {
		return a, fmt.Errorf("a Dockerfile has %d steps, more than %d", len(a.Steps), maxSteps)
	}
	for i := range a.Steps {
		if err := a.Steps[i].check(i); err != nil {
			return a, fmt.Errorf("step %d of a Dockerfile: %w", i, err)
		}
	}
	if a.Error == nil && len(a.Wanted) == 0 && (a.Result < None || a.Result >= len(a.Steps)) {
		return a, fmt.Errorf("the result of a Dockerfile is its step %d of %d", a.Result, len(a.Steps))
	}
	for _, w := range a.Wanted {
		if w.Name == "" || len(w.Name) > 1000 {
			return a, fmt.Errorf("%.100q is no name of a base image", w.Name)
		}
	}
	return a, nil
}

// check checks the step with an index.
func (s *Step) check(index int) error {
	for _, in := range s.Inputs {
		if in < 0 || in >= index {
			return fmt.Errorf("its input %d is no earlier step", in)
		}
	}
	does := 0
	for _, set := range []bool{s.Image != "", s.Context, s.Fetch != nil, s.Run != nil, len(s.Files) > 0, s.Merge} {
		if set {
			does++
		}
	}
	if does != 1 && s.Refused == "" {
		return fmt.Errorf("it does %d things", does)
	}
	if s.Image != "" && !isDigest(s.Image) {
		return fmt.Errorf("%.100q is no digest", s.Image)
	}
	if f := s.Fetch; f != nil && (f.Name == "" || f.Name == "." || f.Name == ".." || strings.Contains(f.Name, "/") || len(f.Name) > 255) {
		return fmt.Errorf("%.100q is no name for a file", f.Name)
	}
	if s.Run != nil {
		return s.Run.check(len(s.Inputs))
	}
	for i, a := range s.Files {
		if err := a.check(len(s.Inputs), s.Files[0].Root); err != nil {
			return fmt.Errorf("action %d: %w", i, err)
		}
	}
	return nil
}

func isInput(i, inputs int) bool { return i >= None && i < inputs }

func isPath(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && !strings.Contains(p, "\x00")
}

func isDigest(d string) bool {
	hex, ok := strings.CutPrefix(d, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

func (r *Run) check(inputs int) error {
	if !isInput(r.Root, inputs) || len(r.Args) == 0 {
		return fmt.Errorf("it has %d arguments and the root %d", len(r.Args), r.Root)
	}
	if r.Dir == "" {
		r.Dir = "/"
	}
	if r.Dir = path.Clean(r.Dir); !isPath(r.Dir) {
		return fmt.Errorf("%.100q is no directory to run in", r.Dir)
	}
	for i := range r.Mounts {
		m := &r.Mounts[i]
		m.Target = path.Clean(m.Target)
		if !isInput(m.Input, inputs) || !isPath(m.Target) || m.Target == "/" || strings.Contains(m.Path, "\x00") {
			return fmt.Errorf("its mount to %.100q is none", m.Target)
		}
		switch m.Kind {
		case MountBind, MountCache, MountTmpfs, MountSecret:
		default:
			return fmt.Errorf("its mount to %.100q is of the kind %.100q", m.Target, m.Kind)
		}
	}
	return nil
}

func (a Action) check(inputs, root int) error {
	if a.Root != root || !isInput(root, inputs) {
		return fmt.Errorf("it changes %d", a.Root)
	}
	does := 0
	for _, set := range []bool{a.Copy != nil, a.Mkdir != nil, a.Mkfile != nil, a.Symlink != nil, a.Remove != nil} {
		if set {
			does++
		}
	}
	if does != 1 {
		return fmt.Errorf("it does %d things", does)
	}
	if a.Copy != nil && !isInput(a.Copy.From, inputs) {
		return fmt.Errorf("it copies from %d", a.Copy.From)
	}
	return nil
}
