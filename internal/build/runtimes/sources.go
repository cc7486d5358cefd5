package runtimes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openslipway/slipway"
)

// debianSources returns those sources of a configuration of apt that are of a Debian
// suite, its updates or its security updates, in the deb822 form. Sources of other
// suites, such as those of vendors, are left out.
func debianSources(dir, suite string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "sources.list.d", "*"))
	if err != nil {
		return "", err
	}
	slices.Sort(files)
	var found []string
	for _, file := range append([]string{filepath.Join(dir, "sources.list")}, files...) {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("read the sources of apt: %w", err)
		}
		switch filepath.Ext(file) {
		case ".sources":
			found = append(found, paragraphs(string(text), suite)...)
		case ".list":
			found = append(found, oneLines(string(text), suite)...)
		}
	}
	if len(found) == 0 {
		return "", slipway.Errorf(slipway.InvalidRequest,
			"This server cannot make runtimes: its configuration of apt (%s) has no sources of Debian's %s. Let it reach the publishers' images, or add such sources.", dir, suite)
	}
	return strings.Join(found, "\n"), nil
}

func ofSuite(name, suite string) bool {
	return name == suite || name == suite+"-updates" || name == suite+"-security"
}

// paragraphs returns the paragraphs of a file in deb822 form whose suites are all of
// the suite.
func paragraphs(text, suite string) (found []string) {
	for _, p := range strings.Split(strings.ReplaceAll(text, "\r", ""), "\n\n") {
		var lines []string
		ok, enabled := false, true
		for line := range strings.Lines(p) {
			line = strings.TrimRight(line, "\n")
			if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
				continue
			}
			lines = append(lines, line)
			key, value, _ := strings.Cut(line, ":")
			switch strings.ToLower(key) {
			case "suites":
				suites := strings.Fields(value)
				ok = len(suites) > 0 && !slices.ContainsFunc(suites, func(s string) bool { return !ofSuite(s, suite) })
			case "enabled":
				enabled = strings.TrimSpace(strings.ToLower(value)) != "no"
			}
		}
		if ok && enabled {
			found = append(found, strings.Join(lines, "\n")+"\n")
		}
	}
	return found
}

// oneLines returns the lines of the old form, "deb [options] uri suite components", as
// paragraphs. Options but signed-by and trusted are dropped.
func oneLines(text, suite string) (found []string) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !ok {
			continue
		}
		var extra string
		rest = strings.TrimSpace(rest)
		if options, after, ok := strings.Cut(rest, "]"); ok && strings.HasPrefix(options, "[") {
			rest = after
			for _, o := range strings.Fields(options[1:]) {
				if key, value, _ := strings.Cut(o, "="); key == "signed-by" {
					extra = "Signed-By: " + value + "\n"
				}
			}
		}
		fields := strings.Fields(rest)
		if len(fields) < 3 || !ofSuite(fields[1], suite) {
			continue
		}
		found = append(found, fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\n%s", fields[0], fields[1], strings.Join(fields[2:], " "), extra))
	}
	return found
}
