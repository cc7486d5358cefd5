package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

// The release, and the sources it was built from, set by the linker
// (-X main.version=v1.2.3). What is empty is read from the build's own record.
var (
	version  = ""
	commit   = ""
	date     = "" // of the commit, RFC 3339
	modified = "" // "true" if the sources differ from the commit
)

func newVersionCommand(m *Main) *cobra.Command {
	local := false
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program and of the server",
		Long: `Version prints the release, the commit and its date of this program, and of the
server. The exit code is 0 also if no server answers, which the second line then
says. With --json it prints {"Client": ..., "Server": ...}, or "ServerError" in
place of "Server". slipway --version, -v and -V print the first line.`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return m.versions(cmd.Context(), local) },
	}
	cmd.Flags().BoolVar(&local, "client", false, "do not ask the server")
	return cmd
}

// versions is the document of `version --json`.
type versions struct {
	Client      client.Version
	Server      *client.Version `json:",omitempty"`
	ServerError string          `json:",omitempty"`
}

func (m *Main) versions(ctx context.Context, local bool) error {
	v := versions{Client: thisBuild()}
	t, err := m.target()
	if err != nil {
		return err
	}
	if !local {
		server, err := client.ServerVersion(ctx, t)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			v.ServerError = t.Explain(err).Text
		} else {
			v.Server = &server
		}
	}
	if m.json {
		return m.printJSON(v)
	}
	fmt.Fprintln(m.Stdout, "slipway", v.Client)
	switch {
	case v.Server != nil:
		_, err = fmt.Fprintf(m.Stdout, "server  %s at %s\n", term.Printable(v.Server.String()), t.Endpoint)
	case !local:
		_, err = fmt.Fprintf(m.Stdout, "server  unknown: %s\n", term.Printable(v.ServerError))
	}
	return err
}

// addVersionFlags adds --version, -v and -V to the root command only: other programs have
// them, and the commands below the root use -v for --verbose.
func (m *Main) addVersionFlags(root *cobra.Command) {
	asked, capital := false, false
	f := root.Flags()
	f.BoolVarP(&asked, "version", "v", false, "print this program's version; also -V")
	f.BoolVarP(&capital, "Version", "V", false, "print this program's version")
	if err := f.MarkHidden("Version"); err != nil {
		panic(err) // the flag was added just now
	}
	help := root.RunE
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if asked || capital {
			return m.versions(cmd.Context(), true)
		}
		return help(cmd, args)
	}
}

func thisBuild() client.Version {
	b := client.Version{Version: "devel", Commit: commit, Time: date, Modified: modified == "true", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			b.Version = v
		}
		for _, s := range info.Settings {
			switch {
			case commit != "": // the linker's record is complete
			case s.Key == "vcs.revision":
				b.Commit = s.Value
			case s.Key == "vcs.time":
				b.Time = s.Value
			case s.Key == "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if version != "" {
		b.Version = version
	}
	return b
}
