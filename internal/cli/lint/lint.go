// Package lint finds the configuration file that `slipway lint` is about, has it
// checked and, when asked, repaired in place.
//
// It needs no server. internal/source/config knows what is right and how to repair
// it; this package only reads, compares and replaces files.
package lint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/source/config"
)

// What is found is told as package config has it.
type (
	Finding  = config.Finding
	Severity = config.Severity
)

// Error is the severity of what a server refuses.
const Error = config.Error

// Schema returns the JSON Schema of apprunner.yaml.
func Schema() []byte { return config.Schema() }

// Result is what is known of a file after Run.
type Result struct {
	Path     string           // of the file, after a rename
	Findings []config.Finding // what is left, in the order of the text
	Repaired []config.Finding // what was repaired, in the order in which it was
	Diff     string           // what the repairs changed, without credentials; "" for nothing
}

// Errors returns the number of findings that are errors.
func (r Result) Errors() int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == config.Error {
			n++
		}
	}
	return n
}

// Run checks the file at path, or the configuration file of the directory at path, and
// repairs it first if fix is set. Its errors are *client.Problem.
func Run(path string, fix bool) (Result, error) {
	file, also, err := find(path)
	if err != nil {
		return Result{}, err
	}
	data, mode, err := read(file)
	if err != nil {
		return Result{}, err
	}
	r := Result{Path: file}
	if fix {
		if data, err = r.repair(data, mode); err != nil {
			return Result{}, err
		}
	}
	_, r.Findings = config.Parse(filepath.ToSlash(r.Path), data)
	if also != "" {
		r.Findings = append(r.Findings, config.Finding{
			Line: 1, Column: 1, Severity: config.Warning, Code: config.CodeFileName,
			Message: fmt.Sprintf("%s is beside %s and is ignored", also, config.FileName),
		})
	}
	return r, nil
}

// names are what people call the file; in the order in which one of them is taken.
var names = regexp.MustCompile(`(?i)^\.?app[-_ ]?runner\.(?:ya?ml|json)(?:\.txt)?$`)

// find returns the file to check, and another one beside it that looks like it.
func find(path string) (file, also string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", "", problem(err, "")
	}
	if !info.IsDir() {
		return path, "", nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", "", problem(err, "")
	}
	var found []string
	for _, e := range entries {
		if !e.IsDir() && names.MatchString(e.Name()) {
			found = append(found, e.Name())
		}
	}
	if len(found) == 0 {
		return "", "", notFound(path, entries)
	}
	if i := slices.Index(found, config.FileName); i > 0 {
		found[0], found[i] = found[i], found[0]
	}
	if len(found) > 1 && found[0] == config.FileName {
		also = found[1]
	}
	return filepath.Join(path, found[0]), also, nil
}

// notFound says that a directory has no file, and where there is one.
func notFound(path string, entries []fs.DirEntry) error {
	const most = 200
	for _, e := range entries[:min(len(entries), most)] {
		below := filepath.Join(path, e.Name(), config.FileName)
		if !e.IsDir() {
			continue
		}
		if info, err := os.Lstat(below); err == nil && info.Mode().IsRegular() {
			return &client.Problem{
				Text: fmt.Sprintf("there is no %s in %s, but there is %s", config.FileName, path, below),
				Hint: "App Runner looks for the file in the source directory of the service (SourceDirectory).",
			}
		}
	}
	return &client.Problem{
		Text: fmt.Sprintf("there is no %s in %s", config.FileName, path),
		Hint: "`slipway init` writes one; docs/apprunner-yaml.md shows what it holds.",
	}
}

// read reads a regular file of bounded size.
func read(path string) ([]byte, fs.FileMode, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, 0, problem(err, "")
	} else if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, 0, &client.Problem{Text: path + " is no regular file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, problem(err, "")
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, problem(err, "")
	}
	data, err := io.ReadAll(io.LimitReader(f, config.MaxSize+1))
	if err != nil {
		return nil, 0, problem(err, "")
	}
	return data, info.Mode().Perm(), nil
}

// repair replaces the file by its repaired text, atomically, and returns that text.
func (r *Result) repair(data []byte, mode fs.FileMode) ([]byte, error) {
	if len(data) > config.MaxSize {
		return data, nil
	}
	fixed := config.ApplyFixes(r.Path, data)
	target := fixed.Name
	if target != r.Path {
		if _, err := os.Lstat(target); err == nil { // never over another file
			target = r.Path
			fixed.Applied = slices.DeleteFunc(fixed.Applied, func(f config.Finding) bool { return f.Code == config.CodeFileName })
		}
	}
	if len(fixed.Applied) == 0 {
		return data, nil
	}
	if target != r.Path {
		if err := os.Rename(r.Path, target); err != nil {
			return nil, problem(err, "")
		}
		r.Diff = fmt.Sprintf("rename %s => %s\n", r.Path, target)
		r.Path = target
	}
	r.Repaired = fixed.Applied
	if bytes.Equal(data, fixed.Data) {
		return data, nil
	}
	path, err := filepath.EvalSymlinks(target) // a link stays one
	if err != nil {
		return nil, problem(err, "")
	}
	if err := atomicfile.Write(path, fixed.Data, mode); err != nil {
		return nil, problem(err, "Nothing was changed.")
	}
	r.Diff += diff(target, data, fixed.Data)
	return fixed.Data, nil
}

// problem makes an error of the file system one for people.
func problem(err error, hint string) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return &client.Problem{Text: fmt.Sprintf("%s: %v", e.Path, e.Err), Hint: hint}
	}
	return &client.Problem{Text: err.Error(), Hint: hint}
}

// diff returns the lines that differ, with one line of context, as a unified diff
// without credentials of either text.
func diff(name string, before, after []byte) string {
	a, b := lines(before), lines(after)
	keep := common(a, b)
	was, is := config.NewRedactor(before), config.NewRedactor(after)
	hide := func(s string) string { return is.Redact(was.Redact(s)) }
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", name, name)
	for i, j := 0, 0; i < len(a) || j < len(b); {
		if i < len(a) && j < len(b) && keep[i] == j {
			i, j = i+1, j+1
			continue
		}
		fmt.Fprintf(&out, "@@ line %d @@\n", j+1)
		if i > 0 {
			fmt.Fprintf(&out, " %s\n", hide(a[i-1]))
		}
		for i < len(a) && keep[i] < 0 {
			fmt.Fprintf(&out, "-%s\n", hide(a[i]))
			i++
		}
		for j < len(b) && (i >= len(a) || keep[i] != j) {
			fmt.Fprintf(&out, "+%s\n", hide(b[j]))
			j++
		}
	}
	return out.String()
}

func lines(data []byte) []string {
	s := strings.TrimPrefix(string(data), "\ufeff")
	s = strings.TrimSuffix(s, "\n")
	all := strings.Split(s, "\n")
	for i := range all {
		all[i] = strings.TrimSuffix(all[i], "\r")
	}
	return all
}

// common returns for each line of a the line of b that it stays as, or -1: a longest
// common subsequence. Beyond a few thousand lines it gives up on the middle.
func common(a, b []string) []int {
	keep := make([]int, len(a))
	for i := range keep {
		keep[i] = -1
	}
	from := 0
	for from < len(a) && from < len(b) && a[from] == b[from] {
		keep[from] = from
		from++
	}
	endA, endB := len(a), len(b)
	for endA > from && endB > from && a[endA-1] == b[endB-1] {
		endA, endB = endA-1, endB-1
		keep[endA] = endB
	}
	n, m := endA-from, endB-from
	if n*m > 4<<20 {
		return keep
	}
	length := make([][]int, n+1)
	for i := range length {
		length[i] = make([]int, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			length[i][j] = max(length[i+1][j], length[i][j+1])
			if a[from+i] == b[from+j] {
				length[i][j] = length[i+1][j+1] + 1
			}
		}
	}
	for i, j := 0, 0; i < n && j < m; {
		switch {
		case a[from+i] == b[from+j]:
			keep[from+i] = from + j
			i, j = i+1, j+1
		case length[i+1][j] >= length[i][j+1]:
			i++
		default:
			j++
		}
	}
	return keep
}
