package readme

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

// needed are programs that the pages use beside Slipway.
var needed = []string{"bash", "make", "curl", "aws", "skopeo", "ip"}

// checkout copies the module as somebody has it who cloned the repository. The parts that
// slipway embeds come along, so that they are not compressed again.
func checkout(t *testing.T) string {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "slipway")
	entries, err := os.ReadDir(harness.Root)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-a", "-t", tree}
	for _, e := range entries {
		switch e.Name() {
		case ".git", "bin", "dist", "tmp":
		default:
			args = append(args, filepath.Join(harness.Root, e.Name()))
		}
	}
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "cp", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return tree
}

// TestPages runs the commands of README.md, then those of the other pages with what
// README's first command has built.
func TestPages(t *testing.T) {
	for _, program := range needed {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("this machine has no %s, which the pages use", program)
		}
	}
	d := desk{tree: checkout(t), oldAWS: oldAWSCLI(t)}
	readme := readPage(t, filepath.Join(harness.Root, "README.md"))
	if !t.Run("README.md", func(t *testing.T) { d.follow(t, d.tree, readme) }) {
		t.FailNow()
	}
	pages, err := filepath.Glob(filepath.Join(harness.Root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pages {
		page := "docs/" + filepath.Base(path)
		if page == "docs/cli.md" {
			continue // generated; TestExamples of cmd/slipway has its commands
		}
		blocks := readPage(t, path)
		if len(blocks) == 0 {
			continue
		}
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir() // for the files of this page
			if err := os.Symlink(filepath.Join(d.tree, "bin"), filepath.Join(dir, "bin")); err != nil {
				t.Fatal(err)
			}
			d.follow(t, dir, blocks)
		})
	}
}

// follow runs a page's commands in a directory. Each server that the page starts has a
// machine of its own. A page that starts none is for readers who have one.
func (d desk) follow(t *testing.T, dir string, blocks []block) {
	t.Helper()
	// What `make run` leaves if it fails.
	data := filepath.Join(d.tree, "tmp", "run")
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(data, "slipway.db")); err == nil {
			exec.Command(filepath.Join(d.tree, "bin", "slipway"), "uninstall", "--yes", "--data-dir", data).Run()
		}
	})
	blocks = slices.DeleteFunc(blocks, func(b block) bool {
		if b.notRun != "" {
			t.Logf("line %d is not run: %s", b.line, b.notRun)
		}
		return b.notRun != ""
	})
	for n, part := range parts(blocks) {
		t.Run(fmt.Sprint(n+1), func(t *testing.T) {
			r := d.sitDown(t, dir)
			r.net.Serve(t, "127.0.0.1:9000", "received") // for webhooks
			if !starts(part) {
				r.serve()
			}
			for _, b := range part {
				r.follow(b)
			}
		})
	}
}

// parts divides a page's blocks before each but the first that starts a server.
func parts(blocks []block) (all [][]block) {
	started := false
	for _, b := range blocks {
		if len(all) == 0 || started && starts([]block{b}) {
			all = append(all, nil)
		}
		started = started || starts([]block{b})
		all[len(all)-1] = append(all[len(all)-1], b)
	}
	return all
}

// starts reports whether blocks start a server.
func starts(blocks []block) bool {
	for _, b := range blocks {
		for _, c := range b.commands {
			if strings.Contains(c.text, "slipway serve") {
				return true
			}
		}
	}
	return false
}
