// Package plan finds out how a directory is built, for `slipway plan` and `slipway
// init`: it reads the directory, asks the user what detection can't decide, prints the
// build and writes apprunner.yaml.
//
// It needs no server and decides nothing: internal/source/detect does.
package plan

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/openslipway/slipway/internal/atomicfile"
	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
	"github.com/openslipway/slipway/internal/source/config"
	"github.com/openslipway/slipway/internal/source/detect"
)

// Request says what to read, and how to ask.
type Request struct {
	Path    string   // of a directory
	Choices []string // "KIND=VALUE" each
	Anew    bool     // detect even if there is an apprunner.yaml
	Verb    string   // in advice: "slipway VERB PATH"; "" for that of plan and init

	// Files are the files of the directory that count; nil for all.
	Files fs.FS

	// The terminal on which questions are asked; nil to return an error instead. It
	// is read in lines.
	In  *bufio.Reader
	Out io.Writer
}

// Answer is what Read found.
type Answer struct {
	Path   string // the directory: below the request's when that was chosen
	Result detect.Result

	// Chosen says that the user decided something: without that, detection would not
	// have come to the result.
	Chosen bool
}

// Graph returns what the build does.
func (a Answer) Graph() detect.Graph { return detect.GraphOf(a.Result) }

// mostQuestions bounds the questions about one directory.
const mostQuestions = 8

// Read detects how a directory is built. Its errors are *client.Problem, or of
// reading the terminal.
func Read(r Request) (Answer, error) {
	choices, err := parseChoices(r.Choices)
	if err != nil {
		return Answer{}, err
	}
	r.Path = filepath.Clean(r.Path)
	below := "." // the directory that was chosen
	for range mostQuestions {
		result, err := r.detect(below, detect.Detector{Choices: choices, IgnoreConfiguration: r.Anew})
		if err == nil {
			return Answer{Path: filepath.Join(r.Path, filepath.FromSlash(below)), Result: result, Chosen: len(choices) > 0}, nil
		}
		question, ok := errors.AsType[*detect.Ambiguous](err)
		if !ok || r.In == nil {
			return Answer{}, r.problem(below, err)
		}
		option, err := ask(r, question)
		if err != nil {
			return Answer{}, err
		}
		if question.Kind == detect.KindDirectory {
			below, choices = path.Join(below, option.Value), nil
			continue
		}
		choices = append(choices, detect.Choice{Kind: question.Kind, Value: option.Value})
	}
	return Answer{}, &client.Problem{Text: r.Path + " asks too many questions", Hint: "Write an apprunner.yaml."}
}

func parseChoices(texts []string) ([]detect.Choice, error) {
	kinds := []string{detect.KindLanguage, detect.KindMain, detect.KindTool, detect.KindProject, detect.KindApp, detect.KindWorkspace}
	var choices []detect.Choice
	for _, text := range texts {
		kind, value, ok := strings.Cut(text, "=")
		known := false
		for _, k := range kinds {
			known = known || k == kind
		}
		if !ok || !known || value == "" {
			return nil, &client.Problem{
				Text: fmt.Sprintf("--choose %q is not KIND=VALUE", text),
				Hint: "The kinds are " + strings.Join(kinds, ", ") + ".", Misuse: true,
			}
		}
		choices = append(choices, detect.Choice{Kind: kind, Value: value})
	}
	return choices, nil
}

// detect opens the directory so that links can't lead out of it.
func (r Request) detect(below string, d detect.Detector) (detect.Result, error) {
	if r.Files != nil {
		sub, err := fs.Sub(r.Files, below)
		if err != nil {
			return detect.Result{}, err
		}
		return d.Detect(sub)
	}
	root, err := os.OpenRoot(filepath.Join(r.Path, filepath.FromSlash(below)))
	if err != nil {
		return detect.Result{}, err
	}
	defer root.Close()
	return d.Detect(root.FS())
}

// problem makes the error for the command line: its first line is the text, and the
// rest the hint.
func (r Request) problem(below string, err error) error {
	path := filepath.Join(r.Path, filepath.FromSlash(below))
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		text := fmt.Sprintf("%s: %s", path, p.Err)
		if errors.Is(err, fs.ErrNotExist) {
			text = path + " does not exist"
		}
		return &client.Problem{Text: text, Hint: "Name a directory with source code."}
	}
	text, hint, _ := strings.Cut(strings.ReplaceAll(r.advice(err.Error()), "PATH", path), "\n")
	return &client.Problem{Text: strings.TrimSuffix(text, "."), Hint: hint}
}

// advice returns a text of package detect with the verb that the user has used.
func (r Request) advice(text string) string {
	if r.Verb == "" {
		return text
	}
	text = strings.ReplaceAll(text, "slipway plan PATH", "slipway "+r.Verb+" PATH")
	text = strings.ReplaceAll(text, "slipway init PATH --choose", "slipway "+r.Verb+" PATH --choose")
	return strings.ReplaceAll(text, "`, which writes it into apprunner.yaml.", "`; `slipway init` writes it into apprunner.yaml.")
}

// ask asks until one of the options is chosen, by its number or its value.
func ask(r Request, q *detect.Ambiguous) (detect.Option, error) {
	fmt.Fprintf(r.Out, "%s:\n", term.Printable(q.Problem))
	for i, o := range q.Options {
		fmt.Fprintf(r.Out, "  %d) %s (%s)\n", i+1, term.Printable(o.Value), term.Printable(o.Why))
	}
	for {
		fmt.Fprintf(r.Out, "Which %s? [1-%d] ", q.Kind, len(q.Options))
		line, err := r.In.ReadString('\n')
		line = strings.TrimSpace(line)
		if n, bad := strconv.Atoi(line); bad == nil && n >= 1 && n <= len(q.Options) {
			return q.Options[n-1], nil
		}
		for _, o := range q.Options {
			if o.Value == line {
				return o, nil
			}
		}
		if err != nil {
			fmt.Fprintln(r.Out)
			return detect.Option{}, r.problem(".", q)
		}
	}
}

// Write writes the answer as the directory's apprunner.yaml. It replaces an existing
// one only if replace is set. It returns the file's path.
func Write(a Answer, replace bool) (string, error) {
	name := filepath.Join(a.Path, config.FileName)
	if info, err := os.Lstat(name); err == nil {
		switch {
		case !info.Mode().IsRegular():
			return "", &client.Problem{Text: name + " is not a regular file", Hint: "Remove it first."}
		case !replace:
			return "", &client.Problem{Text: name + " is there already", Hint: "`slipway plan` shows what it does, `slipway lint` checks it, and `slipway init --force` replaces it."}
		}
	}
	if err := atomicfile.Write(name, detect.Configuration(a.Result), 0o644); err != nil {
		return "", &client.Problem{Text: err.Error()}
	}
	return name, nil
}
