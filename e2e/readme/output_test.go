package readme

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// varying are the parts of a page's output that are different for each reader. Each
// stands for whatever matches the same expression.
var varying = []*regexp.Regexp{
	regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`),
	regexp.MustCompile(`whsec_[0-9A-Za-z+/=]+(?:\.\.\.)?`),
	regexp.MustCompile(`/webhooks/[0-9a-zA-Z_-]+(?:\.\.\.)?`),
	regexp.MustCompile(`\d+(?:\.\d+)? (?:ms|s|B|kB|MB)\b`),
	regexp.MustCompile(`\b[a-z0-9]{10}\b`),
}

// match compares what was printed with what the page shows, and returns by what the
// varying parts were replaced: the page's ids have other values here. Outputs are equal
// if their lines are.
func match(shown []string, printed string) (values map[string]string, err error) {
	values = map[string]string{}
	lines := strings.Split(strings.TrimRight(printed, "\n"), "\n")
	if len(lines) != len(shown) {
		return nil, fmt.Errorf("it prints %d lines, and the page shows %d", len(lines), len(shown))
	}
	for i, line := range shown {
		parts, pattern := variable(line)
		found := regexp.MustCompile(`^` + pattern + `$`).FindStringSubmatch(strings.TrimRight(lines[i], " "))
		if found == nil {
			return nil, fmt.Errorf("it prints\n  %s\nwhere the page shows\n  %s", lines[i], line)
		}
		for n, part := range parts {
			values[part] = found[n+1]
		}
	}
	return values, nil
}

// variable returns the varying parts of a line, and an expression of the line with a group
// for each.
func variable(line string) (parts []string, pattern string) {
	for line != "" {
		at, length, expression := len(line), 0, ""
		for _, v := range varying {
			if loc := v.FindStringIndex(line); loc != nil && loc[0] < at {
				at, length, expression = loc[0], loc[1]-loc[0], v.String()
			}
		}
		pattern += regexp.QuoteMeta(line[:at])
		if length > 0 {
			parts = append(parts, line[at:at+length])
			pattern += "(" + expression + ")"
		}
		line = line[at+length:]
	}
	return parts, pattern
}

func TestMatch(t *testing.T) {
	t.Parallel()
	values, err := match([]string{"Webhook k2m9xq4wpt is made in 3 ms."}, "Webhook abcdefgh23 is made in 1.2 s.\n")
	if err != nil || values["k2m9xq4wpt"] != "abcdefgh23" || values["3 ms"] != "1.2 s" {
		t.Errorf("%q, %v", values, err)
	}
	for _, printed := range []string{"Webhook abcdefgh23 is made.\n", "Webhook abcdefgh23 is made in 3 ms.\nmore\n", ""} {
		if values, err := match([]string{"Webhook k2m9xq4wpt is made in 3 ms."}, printed); err == nil {
			t.Errorf("%q matches with %q", printed, values)
		}
	}
}
