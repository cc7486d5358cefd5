package build_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/build"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/source/config"
)

// A static program is deployed without its runtime; anything else with it.
func TestProgram(t *testing.T) {
	t.Parallel()
	alone := []string{"/app/web/bin/app"}
	for name, c := range map[string]struct {
		command, log string
		alone        bool
	}{
		"static":      {"elf app/web/bin/app", "bin/app is a static program of 120 bytes: it is deployed alone", true},
		"dynamic":     {"elf app/web/bin/app dynamic", "bin/app is not a static program: it is deployed with its runtime.", false},
		"no program":  {"write app/web/bin/app", "bin/app is not an executable file: it is deployed with its runtime.", false},
		"not made":    {"write app/web/bin/other", "bin/app was not made by the build: it is deployed with its runtime.", false},
		"a directory": {"write app/web/bin/app/x", "bin/app is not an executable file", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := build.Request{
				Tree: b.tree("web/main.go"), SourceDirectory: "web", Program: "bin/app", Time: time.Unix(1700000000, 0),
				File: config.File{Runtime: "original", Build: []string{c.command}, PostBuild: []string{"print tested"}},
			}
			log, _, err := b.build(r)
			if err != nil || !strings.Contains(log, c.log) || strings.Count(log, "$ "+c.command) != 1 || !strings.Contains(log, "[PostBuild] tested") {
				t.Errorf("%v\n%s", err, log)
			}
			a := b.images.adopted[0]
			var names []string
			for name := range b.images.files[0] {
				names = append(names, name)
			}
			if !c.alone {
				if a.Base != imageOriginal || a.Config.Labels[image.LabelShell] != "" || !slices.Contains(names, "/app/web/main.go") {
					t.Errorf("the image is of %s with %v, labels %v", a.Base, names, a.Config.Labels)
				}
				return
			}
			if diff := cmp.Diff(alone, names); diff != "" || a.Base != imageSlim {
				t.Errorf("the image is of %s (-want +got):\n%s", a.Base, diff)
			}
			if a.Config.Dir != "/app/web" || a.Config.Labels[image.LabelShell] != "none" || len(a.Config.Env) != 1 || a.Config.Labels["io.slipway.runtime"] != "original" {
				t.Errorf("%+v", a.Config)
			}
		})
	}
	// With another way of building, the program is a file like others.
	b := newBench(t)
	log, _, err := b.build(build.Request{Mode: build.ModeKeep, Program: "bin/app", File: config.File{Runtime: "original", Build: []string{"elf app/bin/app"}}})
	if err != nil || b.images.adopted[0].Base != imageOriginal {
		t.Errorf("%v\n%s", err, log)
	}
}
