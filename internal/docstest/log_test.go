package docstest

import (
	"cmp"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// message is a log line's level and text, and the packages that write it.
type message struct{ level, text, where string }

// TestLogMessages keeps the table of log messages from level Info up complete.
// -update adds new messages with "?" for what to do and removes those that the
// code no longer has; a message whose text a variable holds is not listed.
//
//nolint:paralleltest // blocks of one page
func TestLogMessages(t *testing.T) {
	all := messages(t)
	if len(all) < 20 {
		t.Fatalf("found only %d log messages: adapt this test", len(all))
	}
	action := map[string]string{}
	for _, r := range rows(t, operating, "## Log messages") {
		if len(r) == 4 {
			action[r[1]] = r[3]
		}
	}
	b := newTable("level", "message", "from", "what to do")
	for _, m := range all {
		do := cmp.Or(action[m.text], "?")
		if do == "?" {
			t.Errorf("%s does not say what an operator does about %q (%s): run `make docs`, then replace the question mark", operating, m.text, m.where)
		}
		b.row(m.level, m.text, m.where, do)
	}
	checkBlock(t, operating, "log messages", b.String())
}

func messages(t *testing.T) []message {
	t.Helper()
	found := map[[2]string][]string{} // level and text -> directories
	for _, f := range product(t) {
		if strings.HasPrefix(f.dir, "internal/cli") {
			continue
		}
		calls(f, func(name string, c *ast.CallExpr) {
			level := strings.TrimSuffix(name, "Context")
			if level != "Info" && level != "Warn" && level != "Error" {
				return
			}
			args := c.Args
			if strings.HasSuffix(name, "Context") && len(args) > 0 {
				args = args[1:]
			}
			if len(args) == 0 {
				return
			}
			if s, ok := text(args[0]); ok {
				key := [2]string{level, strings.ReplaceAll(s, "|", "\\|")}
				dir := strings.TrimPrefix(f.dir, "internal/")
				if !slices.Contains(found[key], dir) {
					found[key] = append(found[key], dir)
				}
			}
		})
	}
	var all []message
	for key, dirs := range found {
		slices.Sort(dirs)
		all = append(all, message{key[0], key[1], strings.Join(dirs, ", ")})
	}
	order := []string{"Error", "Warn", "Info"}
	slices.SortFunc(all, func(x, y message) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, x.level), slices.Index(order, y.level)),
			cmp.Compare(x.where, y.where), cmp.Compare(x.text, y.text))
	})
	return all
}
