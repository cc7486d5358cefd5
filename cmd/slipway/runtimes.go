package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

func newRuntimesCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:   "runtimes",
		Short: "List the runtimes that source code can be built for",
		Long: `Runtimes lists the managed runtimes of the server: the name for an apprunner.yaml, the
version that is ready, if a build needed it already, where the runtime comes from, and
when its publisher ends its support. A runtime is pulled as its publisher's image, or
else made of Debian's packages, once for all services.`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return m.runtimes(cmd.Context()) },
	}
}

func (m *Main) runtimes(ctx context.Context) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	all, err := c.Runtimes(ctx)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(struct{ Runtimes []client.Runtime }{all})
	}
	t := term.Table{Head: []string{"NAME", "RUNTIME", "READY", "SOURCE", "SUPPORTED UNTIL"}}
	today := m.Now().UTC().Format(time.DateOnly)
	for _, r := range all {
		end := term.Cell{Text: cmp.Or(r.End, "-")}
		if r.End != "" && r.End < today {
			end.Tone = term.Warn
		}
		for i, v := range append(r.Made, client.RuntimeVersion{}) {
			if i > 0 && v.Version == "" {
				break
			}
			ready, tone := v.Version, term.Good
			if ready == "" {
				ready, tone = "-", term.Faint
			}
			t.Add(term.Cell{Text: r.Name}, term.Cell{Text: r.Title}, term.Cell{Text: ready, Tone: tone}, term.Cell{Text: runtimeSource(r, v)}, end)
		}
	}
	return t.Write(m.Stdout, m.outStyle())
}

// runtimeSource says where a version of a runtime comes from, or would.
func runtimeSource(r client.Runtime, v client.RuntimeVersion) string {
	packages := "Debian " + r.Suite
	image := "image " + strings.TrimPrefix(untagged(r.Image), "docker.io/library/")
	switch {
	case v.Origin == "recipe":
		return packages
	case v.Origin != "":
		return "image " + v.Origin
	case r.Image != "" && r.Suite != "":
		return image + " or " + packages
	case r.Suite != "":
		return packages
	case r.Image != "":
		return image
	}
	return cmp.Or(r.Absent, "-")
}

// untagged returns an image's name without its tag.
func untagged(image string) string {
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		return image[:i]
	}
	return image
}

func newBuildCommand(m *Main) *cobra.Command {
	cmd := group("build", "Manage what builds of source code keep", "Build manages what builds of source code keep on the server.")
	cmd.AddCommand(newBuildPruneCommand(m))
	return cmd
}

func newBuildPruneCommand(m *Main) *cobra.Command {
	var unused time.Duration
	yes := false
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove the caches of builds",
		Long: `Prune removes the caches of package managers and the results of builds that no build
uses at the moment; the next build of a service then downloads and compiles everything.
Caches that were not used for 30 days, and those of deleted services, go without it.` + confirmNote,
		Example: "  slipway build prune\n  slipway build prune --unused-for 168h --yes",
		Args:    argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if unused < 0 {
				return usageError(cmd, "--unused-for is %s; it must not be negative", unused)
			}
			if err := m.confirm(cmd, yes, "Remove the caches of builds that nothing uses at the moment?"); err != nil {
				return err
			}
			return m.pruneBuilds(cmd.Context(), unused)
		},
	}
	cmd.Flags().DurationVar(&unused, "unused-for", 0, "keep what a build has used within this `time`, such as 168h")
	addYesFlag(cmd, &yes)
	return cmd
}

func (m *Main) pruneBuilds(ctx context.Context, unused time.Duration) error {
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	freed, err := c.PruneBuilds(ctx, unused)
	if err != nil {
		return err
	}
	if m.json {
		return m.printJSON(struct{ FreedBytes int64 }{freed})
	}
	_, err = fmt.Fprintf(m.Stdout, "Freed %s.\n", term.Bytes(freed))
	return err
}
