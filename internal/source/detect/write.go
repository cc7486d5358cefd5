package detect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/openslipway/slipway/internal/source/config"
)

// Configuration writes a result as an apprunner.yaml, with the warnings as comments.
// config.Parse reads the same File from it.
func Configuration(r Result) []byte {
	w := &yamlWriter{}
	f := r.File
	w.line(0, "# How this service is built and started: https://docs.aws.amazon.com/apprunner/latest/dg/config-file-ref.html")
	for _, warning := range r.Warnings {
		w.comment(warning)
	}
	w.line(0, "version: 1.0")
	w.line(0, "runtime: %s", f.Runtime)
	if f.Runtime == config.Docker {
		w.docker(f)
		return w.Bytes()
	}
	w.line(0, "build:")
	w.line(1, "commands:")
	w.list(2, "pre-build", f.PreBuild)
	w.list(2, "build", f.Build)
	w.list(2, "post-build", f.PostBuild)
	w.variables(1, "env", "value", f.BuildEnv)
	w.line(0, "run:")
	if f.RuntimeVersion != "" {
		w.line(1, "runtime-version: %q", f.RuntimeVersion)
	}
	w.list(1, "pre-run", f.PreRun)
	w.run(f)
	return w.Bytes()
}

type yamlWriter struct{ bytes.Buffer }

func (w *yamlWriter) line(indent int, format string, args ...any) {
	w.WriteString(strings.Repeat("  ", indent))
	fmt.Fprintf(w, format+"\n", args...)
}

func (w *yamlWriter) comment(text string) {
	const width = 86
	line := "#"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > width && line != "#" {
			w.line(0, "%s", line)
			line = "#"
		}
		line += " " + word
	}
	w.line(0, "%s", line)
}

// docker writes what a Dockerfile leaves to say.
func (w *yamlWriter) docker(f config.File) {
	w.line(0, "run:")
	w.run(f)
}

func (w *yamlWriter) run(f config.File) {
	if f.Command != "" {
		w.line(1, "command: %s", scalar(f.Command))
	}
	port := f.Port
	if port == 0 {
		port = config.DefaultPort
	}
	w.line(1, "network:")
	w.line(2, "port: %d", port)
	if f.PortVariable != "" {
		w.line(2, "env: %s", scalar(f.PortVariable))
	}
	w.variables(1, "env", "value", f.Env)
	w.variables(1, "secrets", "value-from", f.Secrets)
}

func (w *yamlWriter) list(indent int, key string, commands []string) {
	if len(commands) == 0 {
		return
	}
	w.line(indent, "%s:", key)
	for _, c := range commands {
		w.line(indent+1, "- %s", scalar(c))
	}
}

func (w *yamlWriter) variables(indent int, key, value string, all []config.Variable) {
	if len(all) == 0 {
		return
	}
	w.line(indent, "%s:", key)
	for _, v := range all {
		w.line(indent+1, "- name: %s", scalar(v.Name))
		w.line(indent+1, "  %s: %s", value, scalar(v.Value))
	}
}

var (
	plainScalar = regexp.MustCompile(`^[A-Za-z./](?:[A-Za-z0-9 _./=@,+~$()|;>-]|:[A-Za-z0-9_./-])*$`)
	yamlWord    = regexp.MustCompile(`(?i)^(?:true|false|yes|no|on|off|null|y|n|\.nan|\.inf|[.0-9]+)$`)
)

// scalar writes a string so that YAML reads it as that string.
func scalar(s string) string {
	if plainScalar.MatchString(s) && !strings.HasSuffix(s, " ") && !yamlWord.MatchString(s) {
		return s
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}
