package detect_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v4"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/source/config"
	"github.com/openslipway/slipway/internal/source/detect"
)

var update = flag.Bool("update", false, "write golden files anew")

// corpus returns the names of the trees under testdata.
func corpus(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// load reads a tree from an archive. Its comment has directives, one a line:
//
//	choose KIND VALUE      a choice
//	fill FILE BYTES        a file of that many bytes
//	deep DIR N             N directories in each other
//	link NAME TARGET       a symbolic link
//	many DIR N             N empty files
//	nest FILE OPEN N       a file of N times OPEN
//	append FILE OPEN N     the same, after the file's text
func load(t testing.TB, name string) (fstest.MapFS, detect.Detector) {
	t.Helper()
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{}
	for _, f := range a.Files {
		tree[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	var d detect.Detector
	for line := range strings.Lines(string(a.Comment)) {
		w := strings.Fields(line)
		if len(w) == 0 || strings.HasPrefix(w[0], "#") {
			continue
		}
		n := 0
		if _, err := fmt.Sscan(w[len(w)-1], &n); err != nil && w[0] != "choose" && w[0] != "link" {
			t.Fatalf("%s: directive %q", name, line)
		}
		switch w[0] {
		case "choose":
			d.Choices = append(d.Choices, detect.Choice{Kind: w[1], Value: w[2]})
		case "fill":
			tree[w[1]] = &fstest.MapFile{Data: make([]byte, n), Mode: 0o644}
		case "deep":
			tree[w[1]+strings.Repeat("/d", n)+"/main.go"] = &fstest.MapFile{Data: []byte("package main\n")}
		case "link":
			tree[w[1]] = &fstest.MapFile{Data: []byte(w[2]), Mode: fs.ModeSymlink | 0o777}
		case "many":
			for i := range n {
				tree[path.Join(w[1], fmt.Sprintf("%d.txt", i))] = &fstest.MapFile{}
			}
		case "nest":
			tree[w[1]] = &fstest.MapFile{Data: []byte(strings.Repeat(w[2], n))}
		case "append":
			tree[w[1]] = &fstest.MapFile{Data: append(bytes.TrimRight(tree[w[1]].Data, "\n"), strings.Repeat(w[2], n)...)}
		default:
			t.Fatalf("%s: directive %q", name, line)
		}
	}
	return tree, d
}

// outcome is what a golden file holds.
func outcome(r detect.Result, err error) string {
	if err != nil {
		return fmt.Sprintf("%T\n%s\n", err, err)
	}
	doc, err := json.MarshalIndent(detect.GraphOf(r), "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(doc) + "\n\n" + string(detect.Configuration(r))
}

// TestCorpus compares what is detected in each tree with its golden file.
func TestCorpus(t *testing.T) {
	t.Parallel()
	names := corpus(t)
	if len(names) < 80 {
		t.Errorf("%d trees", len(names))
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			tree, d := load(t, name)
			got := outcome(d.Detect(tree))
			golden := strings.TrimSuffix(name, ".txtar") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		})
	}
}

// Each result is a configuration that can be used: what is written of it is read
// without a mistake, and as the same.
func TestConfigurationIsAccepted(t *testing.T) {
	t.Parallel()
	for _, name := range corpus(t) {
		tree, d := load(t, name)
		r, err := d.Detect(tree)
		if err != nil || r.Configuration != "" {
			continue
		}
		checkConfiguration(t, name, r)
	}
}

func checkConfiguration(t *testing.T, name string, r detect.Result) {
	t.Helper()
	text := detect.Configuration(r)
	f, findings := config.Parse(config.FileName, text)
	for _, finding := range findings {
		if finding.Severity == config.Error || finding.Code == config.CodeDropped || finding.Code == config.CodePreRun {
			t.Errorf("%s: line %d: %s: %s\n%s", name, finding.Line, finding.Code, finding.Message, text)
		}
	}
	want := r.File
	if f.Port == config.DefaultPort {
		f.Port = 0
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("%s: written and read (-want +got):\n%s\n%s", name, diff, text)
	}
}

// Every error is the user's mistake, in a form that the API returns.
func TestErrorsAreMistakes(t *testing.T) {
	t.Parallel()
	for _, name := range corpus(t) {
		tree, d := load(t, name)
		_, err := d.Detect(tree)
		if err == nil {
			continue
		}
		if slipway.CodeOf(err) != slipway.InvalidRequest {
			t.Errorf("%s: %v has code %q", name, err, slipway.CodeOf(err))
		}
		e, ok := errors.AsType[*detect.Ambiguous](err)
		if !ok || e.Kind == detect.KindDirectory {
			continue
		}
		for _, o := range e.Options {
			d := d
			d.Choices = slices.DeleteFunc(slices.Clone(d.Choices), func(c detect.Choice) bool { return c.Kind == e.Kind })
			d.Choices = append(d.Choices, detect.Choice{Kind: e.Kind, Value: o.Value})
			_, err := d.Detect(tree)
			if again, ok := errors.AsType[*detect.Ambiguous](err); ok && again.Kind == e.Kind {
				t.Errorf("%s: %s=%s does not decide: %v", name, e.Kind, o.Value, err)
			}
		}
	}
}

// runtimeEntry is an entry of runtimes.yaml.
type runtimeEntry struct {
	Name, Absent string
	Caches       []string
}

// The directories that a plan names are those that builds keep.
func TestCachesAreThoseOfBuilds(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../build/runtimes/runtimes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Caches   map[string]struct{ Path string }
		Runtimes []runtimeEntry
	}
	if err := yaml.Unmarshal(data, &table); err != nil {
		t.Fatal(err)
	}
	if len(table.Runtimes) < 10 {
		t.Fatalf("runtimes.yaml has %d runtimes", len(table.Runtimes))
	}
	for _, preferred := range []string{"python311", "nodejs22", "go1", "ruby31", "php82", "corretto11"} {
		if !slices.ContainsFunc(table.Runtimes, func(r runtimeEntry) bool { return r.Name == preferred && r.Absent == "" }) {
			t.Errorf("%s is taken when no version is named, and is not provided", preferred)
		}
	}
	for _, r := range table.Runtimes {
		var want []string
		for _, name := range r.Caches {
			want = append(want, table.Caches[name].Path)
		}
		g := detect.GraphOf(detect.Result{File: config.File{Runtime: r.Name}})
		if len(want) > 0 && !slices.Equal(want, g.Caches) {
			t.Errorf("%s keeps %q, the plan says %q", r.Name, want, g.Caches)
		}
	}
}
