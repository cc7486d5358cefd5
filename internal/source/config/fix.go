package config

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxRounds bounds how often ApplyFixes reads its result again: a repair may show
// further mistakes.
const maxRounds = 100

// Fixed is the result of ApplyFixes.
type Fixed struct {
	Name    string    // of the file: FileName when it was nearly that
	Data    []byte    // the repaired text
	Applied []Finding // what was repaired, with the positions at that time
}

// ApplyFixes repairs a file until no fix is left that helps. Each repair is read again
// before it is kept: it must remove its finding and add no error, unless the text
// could not be read before. So the result is never worse than data, and repairing it
// again changes nothing.
func ApplyFixes(name string, data []byte) Fixed {
	out := Fixed{Name: name, Data: data}
	_, findings := Parse(name, data)
	for range maxRounds {
		next, ok := out.step(findings)
		if !ok {
			break
		}
		findings = next
	}
	return out
}

// step makes the first repair that helps, and returns the findings after it.
func (out *Fixed) step(findings []Finding) ([]Finding, bool) {
	for _, f := range findings {
		if f.Fix == nil {
			continue
		}
		name, data := f.Fix.apply(out.Name, out.Data)
		if len(data) > MaxSize && len(data) > len(out.Data) {
			continue
		}
		_, after := Parse(name, data)
		if !better(findings, after, f) {
			continue
		}
		out.Name, out.Data = name, data
		out.Applied = append(out.Applied, f)
		return after, true
	}
	return nil, false
}

// apply makes the edits of a fix.
func (f *Fix) apply(name string, data []byte) (string, []byte) {
	var b bytes.Buffer
	at := 0
	for _, e := range f.Edits {
		if e.Start < at || e.End < e.Start || e.End > len(data) {
			return name, data
		}
		b.Write(data[at:e.Start])
		b.WriteString(e.Text)
		at = e.End
	}
	b.Write(data[at:])
	if f.Name != "" {
		name = name[:strings.LastIndexAny(name, `/\`)+1] + f.Name
	}
	return name, b.Bytes()
}

// better reports whether the findings after a repair are an improvement: the repaired
// one is gone, and nothing got worse. A text that could not be read as YAML hid its
// findings; then any text that can be read is better, or one whose first mistake is
// further down.
func better(before, after []Finding, repaired Finding) bool {
	if hides(repaired.Code) {
		line, hidden := 0, false
		for _, f := range after {
			if hides(f.Code) {
				line, hidden = f.Line, true
			}
		}
		return !hidden || line > repaired.Line || line == repaired.Line && repaired.Code != CodeSyntax && count(after, "", "") <= count(before, "", "")
	}
	errors, errorsBefore := count(after, "", Error), count(before, "", Error)
	return count(after, repaired.Code, "") < count(before, repaired.Code, "") &&
		(errors < errorsBefore || errors == errorsBefore && len(after) < len(before))
}

// hides reports whether a finding of a code keeps the rest of the file from being read.
func hides(code string) bool {
	switch code {
	case CodeSyntax, CodeEncoding, CodeOtherFormat, CodeEmpty:
		return true
	}
	return false
}

// count counts findings of a code and severity; "" for any.
func count(findings []Finding, code string, severity Severity) int {
	n := 0
	for _, f := range findings {
		if (code == "" || f.Code == code) && (severity == "" || f.Severity == severity) {
			n++
		}
	}
	return n
}

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
	blank := line[:len(line)-len(strings.TrimLeft(line, " \t\u00a0"))]
	rest := line[len(blank):]
	if strings.ContainsAny(blank, "\t\u00a0") {
		for _, by := range []string{"  ", "    ", "        "} {
			all = append(all, candidate{"indent with blanks", strings.NewReplacer("\t", by, "\u00a0", " ").Replace(blank) + rest})
		}
		if strings.ContainsAny(blank, "\t") {
			if before, ok := p.text.indent(n - 1); ok {
				all = append(all, candidate{"indent with blanks", strings.Repeat(" ", before) + rest}, candidate{"indent with blanks", strings.Repeat(" ", before+2) + rest})
			}
		}
	}
	if m := noSpace.FindStringSubmatch(line); m != nil {
		at := strings.IndexByte(line, ':') + 1
		all = append(all, candidate{"add a blank after the colon", line[:at] + " " + line[at:]})
	}
	if word := strings.TrimSpace(line); cutKey.MatchString(line) && knownKey(word) {
		all = append(all, candidate{"add the colon", strings.TrimRight(line, " ") + ":"})
	}
	if m := knownSpot.FindStringSubmatch(line); m != nil {
		all = append(all, candidate{"begin it in the first column", strings.TrimLeft(line, " ")})
	}
	all = append(all, quotedCandidates(line)...)
	if before := n - 1; rest != "" && rest[0] != '#' && len(blank) > 0 {
		for ; before > 0; before-- {
			in, ok := p.text.indent(before)
			if !ok {
				continue
			}
			if d := in - len(blank); d >= -1 && d <= 1 && d != 0 {
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

// isCredential reports whether a value is one that looks like a credential.
func (p *parser) isCredential(n *yaml.Node) bool {
	n = resolve(n)
	if n == nil || n.Line < 1 {
		return false
	}
	at := p.text.offset(n.Line, n.Column)
	for _, c := range p.credentials {
		if c.start >= at && c.start <= at+len(n.Value)+2 && c.name == "" {
			return true
		}
	}
	return false
}

// reportCredentials warns of values that look like live credentials, by line and
// name, never by value.
func (p *parser) reportCredentials() {
	for _, c := range p.credentials {
		line, column := p.text.position(c.start)
		name := c.name
		if name == "" {
			name = p.variableAt(line)
		}
		p.add(Finding{Line: line, Column: column, Severity: Warning, Code: CodeCredential, Message: p.credentialText(c, name, line)})
	}
}

// credentialText says what to do about a credential.
func (p *parser) credentialText(c credential, name string, line int) string {
	what := c.what + " is here"
	if c.what == "a credential" {
		what = name + " holds what looks like a live credential"
	} else if name != "" {
		what = name + " holds " + strings.TrimPrefix(c.what, "")
	}
	if strings.HasPrefix(strings.TrimSpace(p.text.line(line)), "#") {
		return what + ", in a comment: everybody with the repository can read it. Remove it and replace it where it was issued"
	}
	variable := name
	if !variableName.MatchString(variable) {
		variable = "NAME"
	}
	return what + ": everybody with the repository can read it. Store it as a secret with `slipway secret put " + secretName(variable) +
		"`, remove the variable here, and write under run.secrets `- {name: " + variable + ", value-from: ARN}` with the ARN that the command prints; replace the credential where it was issued, since the history keeps it"
}

// secretName is the name of a secret for a variable.
func secretName(variable string) string {
	return strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(variable))
}

// variableAt returns the name of the variable whose value is in a line; "" when that
// isn't clear.
func (p *parser) variableAt(line int) string {
	for n := line; n > 0 && n >= line-2; n-- {
		if m := nameLine.FindStringSubmatch(p.text.line(n)); m != nil {
			return p.redactor.Redact(m[1])
		}
	}
	if m := namedValue.FindStringSubmatch(p.text.line(line)); m != nil && p.redactor.Redact(m[1]) == m[1] && plain(m[1]) != "value" && m[1] == strings.ToUpper(m[1]) {
		return m[1]
	}
	return ""
}
