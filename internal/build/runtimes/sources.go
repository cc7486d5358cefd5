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

// debianSuites are the releases of Debian whose names are known, oldest first.
func debianSuites() []string { return []string{"bullseye", "bookworm", "trixie", "forky"} }

// debianSources returns the sources of a Debian suite, its updates and its security
// updates, in the deb822 form: those of a configuration of apt, or, if it has none of
// this suite, those that it has of another suite with this one's name in them. A mirror
// has all of them. Sources of vendors are left out.
func debianSources(dir, suite string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "sources.list.d", "*"))
	if err != nil {
		return "", err
	}
	slices.Sort(files)
	texts := map[string]string{}
	files = append([]string{filepath.Join(dir, "sources.list")}, files...)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("read the sources of apt: %w", err)
		}
		texts[file] = string(text)
	}
	for _, of := range append([]string{suite}, debianSuites()...) {
		var found []string
		for _, file := range files {
			switch filepath.Ext(file) {
			case ".sources":
				found = append(found, paragraphs(texts[file], of, suite)...)
			case ".list":
				found = append(found, oneLines(texts[file], of, suite)...)
			}
		}
		if len(found) > 0 {
			return strings.Join(found, "\n"), nil
		}
	}
	return "", slipway.Errorf(slipway.InvalidRequest,
		"This server cannot make runtimes: its configuration of apt (%s) has no sources of Debian. Let it reach the publishers' images, or add sources of Debian's %s.", dir, suite)
}

// ofSuite returns the name of a suite, its updates or its security updates for another
// suite, and false for all other names.
func ofSuite(name, suite, wanted string) (string, bool) {
	for _, pocket := range []string{"", "-updates", "-security"} {
		if name == suite+pocket {
			return wanted + pocket, true
		}
	}
	return "", false
}

// paragraphs returns the paragraphs of a file in deb822 form that are of the suite, for
// the wanted one. Other suites of a paragraph, such as backports, are left out.
func paragraphs(text, suite, wanted string) (found []string) {
	for _, p := range strings.Split(strings.ReplaceAll(text, "\r", ""), "\n\n") {
		var lines []string
		ok, enabled := false, true
		for line := range strings.Lines(p) {
			line = strings.TrimRight(line, "\n")
			if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
				continue
			}
			key, value, _ := strings.Cut(line, ":")
			switch strings.ToLower(key) {
			case "suites":
				var suites []string
				for _, s := range strings.Fields(value) {
					if name, is := ofSuite(s, suite, wanted); is {
						suites = append(suites, name)
					}
				}
				ok = len(suites) > 0
				line = "Suites: " + strings.Join(suites, " ")
			case "enabled":
				enabled = strings.TrimSpace(strings.ToLower(value)) != "no"
			}
			lines = append(lines, line)
		}
		if ok && enabled {
			found = append(found, strings.Join(lines, "\n")+"\n")
		}
	}
	return found
}

// oneLines returns the lines of the old form, "deb [options] uri suite components", as
// paragraphs for the wanted suite. Options but signed-by are dropped.
func oneLines(text, suite, wanted string) (found []string) {
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
		if len(fields) < 3 {
			continue
		}
		name, ok := ofSuite(fields[1], suite, wanted)
		if !ok {
			continue
		}
		found = append(found, fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\n%s", fields[0], name, strings.Join(fields[2:], " "), extra))
	}
	return found
}
