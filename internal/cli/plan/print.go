package plan

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/openslipway/slipway/internal/cli/term"
	"github.com/openslipway/slipway/internal/source/config"
	"github.com/openslipway/slipway/internal/source/detect"
)

// Print writes the build of a graph for people.
func Print(w io.Writer, st term.Style, g detect.Graph) error {
	p := printer{w: w, st: st}
	p.facts(g)
	for i, s := range g.Stages {
		p.stage(i+1, s)
	}
	p.heading("start")
	start := g.Start
	if start == "" {
		start = "the image's own command"
	}
	p.row("command", start)
	p.row("port", strconv.Itoa(g.Port))
	p.row("variables", strings.Join(g.Environment, ", "))
	p.row("secrets", strings.Join(g.Secrets, ", "))
	p.list("why", g.Why)
	p.list("take care", g.Warnings)
	return p.err
}

type printer struct {
	w   io.Writer
	st  term.Style
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *printer) facts(g detect.Graph) {
	source := "detected"
	if g.Configuration != "" {
		source = g.Configuration
	}
	p.row("from", source)
	p.row("language", strings.Trim(g.Language+", "+g.Framework, ", "))
	version := g.RuntimeVersion
	if version == "" {
		version = "newest"
	}
	if g.Build == config.DockerfileBuild {
		p.row("dockerfile", g.Dockerfile)
	} else {
		p.row("runtime", fmt.Sprintf("%s, version %s, %s build", g.Runtime, version, g.Build))
	}
	p.row("program", g.Binary)
	p.row("caches", strings.Join(g.Caches, ", "))
}

func (p *printer) stage(n int, s detect.Stage) {
	p.heading(fmt.Sprintf("stage %d: %s", n, s.Name))
	p.row("from", s.From)
	for _, c := range s.Commands {
		p.row("run", c)
	}
	p.row("variables", strings.Join(s.Environment, ", "))
	p.row("keeps", s.Keeps)
}

func (p *printer) heading(text string) { p.printf("\n%s\n", p.st.Render(term.Strong, text)) }

// row writes a line with a label, and nothing when there is no text.
func (p *printer) row(label, text string) {
	if text != "" {
		p.printf("  %s %s\n", p.st.Render(term.Faint, fmt.Sprintf("%-10s", label)), term.Printable(text))
	}
}

func (p *printer) list(heading string, texts []string) {
	if len(texts) == 0 {
		return
	}
	p.heading(heading)
	for _, t := range texts {
		p.printf("  - %s\n", term.Printable(t))
	}
}

// Summary returns how a directory is built and started, in one line.
func Summary(g detect.Graph) string {
	start := g.Start
	if start == "" {
		start = "the image's own command"
	}
	from := g.Configuration
	switch {
	case from != "":
	case g.Build == config.DockerfileBuild:
		from = g.Dockerfile
	case g.Framework != "":
		from = "Detected " + title(g.Language) + " with " + g.Framework
	default:
		from = "Detected " + title(g.Language)
	}
	if g.Build != config.DockerfileBuild {
		from += " (" + g.Runtime + ")"
	}
	return fmt.Sprintf("%s: %s on port %d", from, start, g.Port)
}

// title is a language's name for people.
func title(language string) string {
	if t, ok := map[string]string{
		"go": "Go", "nodejs": "Node.js", "python": "Python", "ruby": "Ruby", "php": "PHP", "java": "Java", "dotnet": ".NET",
		"static": "a static site",
	}[language]; ok {
		return t
	}
	return language
}

// RuntimeOfAPI returns the name of a graph's runtime in CodeConfigurationValues; "" if
// it has none there.
func RuntimeOfAPI(g detect.Graph) string {
	r, _ := config.RuntimeNamed(g.Runtime)
	return r.API
}
