package docstest

import (
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/build/runtimes"
	"github.com/openslipway/slipway/internal/source/config"
)

//nolint:paralleltest // blocks of one page
func TestRuntimes(t *testing.T) {
	list, err := runtimes.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	b := newTable("runtime", "what it is", "App Runner", "publisher's image", "made of packages")
	for _, r := range list {
		known, _ := config.RuntimeNamed(r.Name)
		app := "no"
		if known.AppRunner() {
			app = "`" + known.API + "`"
			if r.End != "" {
				app += ", until " + r.End
			}
		}
		made := r.Absent
		if r.Suite != "" {
			made = "Debian's " + r.Suite
			if r.Exact {
				made += ", every version"
			}
			if r.Substitute != "" {
				made += ". " + r.Substitute
			}
		}
		b.row("`"+r.Name+"`", known.Title+", "+string(known.Build)+" build", app, "`"+strings.TrimPrefix(r.Image, "docker.io/library/")+"`", made)
	}
	checkBlock(t, "docs/runtimes.md", "runtimes", b.String())
}
