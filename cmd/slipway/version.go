package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is the release, set by the linker (-X main.version=v1.2.3).
var version = ""

// build describes how this program was built.
type build struct {
	Version  string `json:"Version"`            // "v1.2.3", or "devel"
	Commit   string `json:"Commit,omitempty"`   // of the sources, if the build recorded it
	Time     string `json:"Time,omitempty"`     // of that commit, RFC 3339
	Modified bool   `json:"Modified,omitempty"` // the sources differ from the commit
	Go       string `json:"Go"`
	Platform string `json:"Platform"`
}

func newVersionCommand(m *Main) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print this program's version",
		Args:  argCount(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			if m.json {
				return m.printJSON(b)
			}
			_, err := fmt.Fprintln(m.Stdout, b)
			return err
		},
	}
}

// String returns one line for people.
func (b build) String() string {
	s := "slipway " + b.Version
	if b.Commit != "" {
		s += " (" + b.Commit[:min(12, len(b.Commit))]
		if b.Modified {
			s += ", modified"
		}
		s += ")"
	}
	return s + " " + b.Platform + " " + b.Go
}

func thisBuild() build {
	b := build{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			b.Version = v
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.time":
				b.Time = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if version != "" {
		b.Version = version
	}
	return b
}
