package main

import (
	"strings"
	"testing"
	"time"
)

func TestBuildsSection(t *testing.T) {
	t.Parallel()
	r := &report{options: options{buildRounds: 3}, packages: 300}
	r.builds = []*buildRow{
		{what: "go build", bare: []time.Duration{time.Second}, build: []time.Duration{1100 * time.Millisecond}, deployment: []time.Duration{1500 * time.Millisecond}, buildah: []time.Duration{2 * time.Second}},
		{what: "npm ci --no-audit", bare: []time.Duration{10 * time.Second}, build: []time.Duration{11 * time.Second}, deployment: []time.Duration{12 * time.Second}},
	}
	r.unchanged = []time.Duration{150 * time.Millisecond}
	r.firstBare, r.first = []time.Duration{20 * time.Second}, []time.Duration{22 * time.Second}
	r.absent("buildah", "apt-get install buildah")
	page := r.buildsSection()
	for _, want := range []string{
		"| `go build` | 1.00 | 1.10 | 0.10 (10%) | 2.00 | 1.00 |", "| `npm ci` (300 packages) | 10.00 | 11.00 | 1.00 (10%) | - | - |",
		"| of a commit that is built already | 0.15 | - | - |", "| one line changed: `go build` | 1.50 | 1.00 | 0.50 |",
		"npm ci (300 packages) | 22.00 | 20.00 | 2.00 (10%) |", "buildah was not measured: apt-get install buildah.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the section lacks %q:\n%s", want, page)
		}
	}
	const old = "# B\n\ntop\n\n## At rest\n\nx\n"
	once := replaceSection(old, buildsHeading, "\n## Builds\n\nnew\n")
	if once != "# B\n\ntop\n\n## Builds\n\nnew\n\n## At rest\n\nx\n" || replaceSection(once, buildsHeading, "\n## Builds\n\nnew\n") != once {
		t.Errorf("the page became %q", once)
	}
}

func TestBuildTime(t *testing.T) {
	t.Parallel()
	const log = `2026-11-29 14:08:53.469 [AppRunner] Starting source code build.
2026-11-29 14:08:54.575 [AppRunner] Starting to build your application source code.
2026-11-29 14:08:54.705 [Build] $ true
  [AppRunner] Successfully built your application source code.
2026-11-29 14:08:55.000 [AppRunner] Successfully built your application source code.
2026-11-29 14:08:57.000 [AppRunner] Successfully built your application source code.
`
	if d, err := buildTime(log); d != 425*time.Millisecond || err != nil {
		t.Errorf("%v, %v", d, err)
	}
	if _, err := buildTime("nothing"); err == nil {
		t.Error("a log without a build was accepted")
	}
}
