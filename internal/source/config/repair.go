package config

import "strings"

// repair looks for a change of a line that is no YAML, and of those before it, after
// which the text can be read, or can be read further.
func (p *parser) repair(body []byte, line, noticed int) *Fix {
	if noticed < 1 {
		return nil
	}
	shift := len(p.text.src) - len(body)
	for _, n := range []int{line, line - 1, noticed} {
		if n < 1 || n > p.text.lines() {
			continue
		}
		old := p.text.line(n)
		for _, c := range p.candidates(n) {
			if c.line == old {
				continue
			}
			start, end := p.text.start[n-1]-shift, p.text.end[n-1]-shift
			changed := append(append(append([]byte{}, body[:start]...), c.line...), body[end:]...)
			if helps(changed, noticed) {
				return &Fix{Title: c.title, Edits: []Edit{{Start: start + shift, End: end + shift, Text: c.line}}}
			}
		}
	}
	return nil
}

// helps reports whether a text can be read, or at least beyond a line.
func helps(body []byte, line int) bool {
	_, err := loadYAML(body)
	if err == nil {
		return true
	}
	e, ok := asLoadError(err)
	return ok && e.Mark.Line > line+1
}

type candidate struct{ title, line string }

// candidates are lines to try in place of one that is no YAML.
func (p *parser) candidates(n int) []candidate {
	line := p.text.line(n)
	var all []candidate
	space := line[:len(line)-len(strings.TrimLeft(line, " \t\u00a0"))]
	rest := line[len(space):]
	if strings.ContainsAny(space, "\t\u00a0") {
		for _, by := range []string{"  ", "    ", "        "} {
			all = append(all, candidate{"indent with spaces", strings.NewReplacer("\t", by, "\u00a0", " ").Replace(space) + rest})
		}
		if strings.ContainsAny(space, "\t") {
			if before, ok := p.text.indent(n - 1); ok {
				all = append(all, candidate{"indent with spaces", strings.Repeat(" ", before) + rest}, candidate{"indent with spaces", strings.Repeat(" ", before+2) + rest})
			}
		}
	}
	if m := noSpace.FindStringSubmatch(line); m != nil {
		at := strings.IndexByte(line, ':') + 1
		all = append(all, candidate{"add a space after the colon", line[:at] + " " + line[at:]})
	}
	if word := strings.TrimSpace(line); cutKey.MatchString(line) && knownKey(word) {
		all = append(all, candidate{"add the colon", strings.TrimRight(line, " ") + ":"})
	}
	if m := knownSpot.FindStringSubmatch(line); m != nil {
		all = append(all, candidate{"begin it in the first column", strings.TrimLeft(line, " ")})
	}
	if open := strings.Count(line, "[") - strings.Count(line, "]"); open == 1 {
		all = append(all, candidate{"close the list", strings.TrimRight(line, " ,") + "]"})
	}
	if open := strings.Count(line, "{") - strings.Count(line, "}"); open == 1 {
		all = append(all, candidate{"close the mapping", strings.TrimRight(line, " ,") + "}"})
	}
	all = append(all, quotedCandidates(line)...)
	if before := n - 1; rest != "" && rest[0] != '#' && len(space) > 0 {
		for ; before > 0; before-- {
			in, ok := p.text.indent(before)
			if !ok {
				continue
			}
			if d := in - len(space); d >= -1 && d <= 1 && d != 0 {
				all = append(all, candidate{"indent it as the line above", strings.Repeat(" ", in) + rest})
			}
			break
		}
	}
	return all
}

// quotedCandidates puts the value of a line in quotes.
func quotedCandidates(line string) []candidate {
	const title = "put the value in quotes"
	var all []candidate
	quote := func(head, value string) {
		value = strings.TrimRight(value, " ")
		for _, mark := range []string{`"`, "'"} { // a quote that was forgotten at the end
			if strings.HasPrefix(value, mark) && strings.Count(value, mark)%2 == 1 {
				all = append(all, candidate{"close the quote", head + value + mark})
			}
		}
		if value == "" || strings.HasPrefix(value, "|") || strings.HasPrefix(value, ">") || strings.HasPrefix(value, "#") {
			return
		}
		if inner, ok := strings.CutPrefix(value, `"`); ok && strings.Count(value, `"`) == 2 && strings.HasSuffix(inner, `"`) {
			value = strings.TrimSuffix(inner, `"`)
		}
		all = append(all, candidate{title, head + "'" + strings.ReplaceAll(value, "'", "''") + "'"})
	}
	if m := keyForm.FindStringSubmatch(line); m != nil && len(m[0]) < len(line) {
		head := line[:len(m[0])]
		rest := strings.TrimLeft(line[len(head):], " ")
		quote(line[:len(line)-len(rest)], rest)
	}
	trimmed := strings.TrimLeft(line, " ")
	if rest, ok := strings.CutPrefix(trimmed, "- "); ok {
		rest = strings.TrimLeft(rest, " ")
		quote(line[:len(line)-len(rest)], rest)
	}
	return all
}
