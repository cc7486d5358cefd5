package config

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// credential is a part of the source that looks like a live credential.
type credential struct {
	start, end int    // of the value in the source
	what       string // for people: "an AWS access key"
	name       string // of the variable or key it is the value of; "" when unknown
}

// urlPassword finds the password in a URL.
var urlPassword = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s/:@'"]*:([^\s/@'"]+)@`)

var (
	// namedValue finds a name and its value on one line: as a variable of the shell,
	// a key of YAML or JSON, or an option of a command.
	namedValue = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_.-]{2,80})["']?[ \t]*[:=][ \t]*("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,}"']+)`)
	// lineValue finds a name whose value is the rest of the line.
	lineValue = regexp.MustCompile(`^[ \t]*(?:-[ \t]+)?["']?([A-Za-z_][A-Za-z0-9_.-]{2,80})["']?(?:[ \t]*:[ \t]+|=)(\S.*)$`)
	nameLine  = regexp.MustCompile(`\bname["']?[ \t]*:[ \t]*["']?([A-Za-z_][A-Za-z0-9_.-]*)`)
	valueLine = regexp.MustCompile(`\bvalue["']?[ \t]*:[ \t]*(?:!!str[ \t]+)?("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s"'{}\[\]][^\r\n]*)`)
)

// findCredentials returns what in the source looks like a live credential, in order
// and without overlaps. It goes by lines and so works on any text.
func findCredentials(t *text) []credential {
	src := string(t.src)
	var found []credential
	add := func(start, end int, what, name string) {
		if end > start {
			found = append(found, credential{start, end, what, name})
		}
	}
	for _, f := range tokenForms {
		if !slices.ContainsFunc(strings.Fields(f.parts), func(part string) bool { return strings.Contains(src, part) }) {
			continue
		}
		for _, m := range f.form.FindAllStringIndex(src, -1) {
			if !fakeToken(src[m[0]:m[1]]) {
				add(m[0], m[1], f.what, "")
			}
		}
	}
	for _, m := range urlPassword.FindAllStringSubmatchIndex(src, -1) {
		if !isPlaceholder(src[m[2]:m[3]]) {
			add(m[2], m[3], "a URL with a password", "")
		}
	}
	name, nameAt := "", 0
	for n := 1; n <= t.lines(); n++ {
		line, base := t.line(n), t.start[n-1]
		if m := nameLine.FindStringSubmatch(line); m != nil {
			name, nameAt = m[1], n
		}
		if m := valueLine.FindStringSubmatchIndex(line); m != nil && name != "" && n-nameAt <= 3 {
			start, end := trimValue(line, m[2], m[3])
			if looksSecret(name, line[start:end]) {
				add(base+start, base+end, "a credential", name)
			}
		}
		if m := valueBefore(t, n); m != nil && nameAt == n {
			start, end := trimValue(t.line(n-1), m[2], m[3])
			if looksSecret(name, t.line(n - 1)[start:end]) {
				add(t.start[n-2]+start, t.start[n-2]+end, "a credential", name)
			}
		}
		for _, c := range namedIn(line) {
			add(base+c.start, base+c.end, c.what, c.name)
		}
	}
	return merged(found)
}

// namedIn returns the credentials of a line that stand beside their names, by offsets
// in the line.
func namedIn(line string) []credential {
	var found []credential
	add := func(name string, start, end int) {
		if start, end = trimValue(line, start, end); looksSecret(name, line[start:end]) {
			found = append(found, credential{start, end, "a credential", name})
		}
	}
	if m := lineValue.FindStringSubmatchIndex(line); m != nil {
		add(line[m[2]:m[3]], m[4], m[5])
	}
	for _, form := range commandForms {
		for _, m := range form.FindAllStringSubmatchIndex(line, 50) {
			if value := line[m[2]:m[3]]; !isPlaceholder(value) && !fakeRun.MatchString(value) && !fileValue.MatchString(value) {
				found = append(found, credential{m[2], m[3], "a password or a token", ""})
			}
		}
	}
	const mostNested = 8 // a value that is NAME=value, whose value is NAME=value, and so on
	nested, end := 0, 0
	for from := 0; ; {
		m := namedValue.FindStringSubmatchIndex(line[from:])
		if m == nil {
			return found
		}
		at := from + m[2]
		if at > 0 && strings.IndexByte(":/@", line[at-1]) >= 0 { // within an ARN or a URL
			from += m[3]
			continue
		}
		if nested++; from+m[5] > end {
			nested, end = 0, from+m[5]
		}
		if nested > mostNested {
			from += m[5]
			continue
		}
		add(line[at:from+m[3]], from+m[4], from+m[5])
		from += m[4] // the value may itself be NAME=value
	}
}

// valueBefore matches a value in the line before the name that begins no item.
func valueBefore(t *text, n int) []int {
	if n < 2 || strings.HasPrefix(strings.TrimSpace(t.line(n)), "-") {
		return nil
	}
	return valueLine.FindStringSubmatchIndex(t.line(n - 1))
}

// trimValue takes quotes, a comment and spaces off a value's range in its line.
func trimValue(line string, start, end int) (int, int) {
	if quote := line[start]; quote == '"' || quote == '\'' {
		start++
		if end > start && line[end-1] == quote {
			end--
		}
		return start, end
	}
	if i := strings.Index(line[start:end], " #"); i >= 0 {
		end = start + i
	}
	for end > start && strings.ContainsRune(" \t,}]", rune(line[end-1])) {
		end--
	}
	return start, end
}

// entropy returns the bits of each character in s, going by how often each occurs.
func entropy(s string) float64 {
	counts := map[rune]int{}
	total := 0.0
	for _, r := range s {
		counts[r]++
		total++
	}
	sum := 0.0
	for _, n := range counts {
		p := float64(n) / total
		sum -= p * math.Log2(p)
	}
	return sum
}

// merged sorts credentials and joins those that overlap, keeping the name of one and
// the better description.
func merged(all []credential) []credential {
	slices.SortStableFunc(all, func(a, b credential) int { return a.start - b.start })
	var out []credential
	for _, c := range all {
		if n := len(out); n > 0 && c.start < out[n-1].end {
			last := &out[n-1]
			last.end = max(last.end, c.end)
			if last.name == "" {
				last.name = c.name
			}
			if last.what == "a credential" {
				last.what = c.what
			}
			continue
		}
		out = append(out, c)
	}
	return out
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

// secretValue notes the value of a variable that looks like a credential and was not
// found in the lines: a text of several lines, or one with escape sequences.
func (p *parser) secretValue(v variable) {
	n := resolve(v.node)
	if n == nil || n.Kind != yaml.ScalarNode || n.Line < 1 || !looksSecret(v.Name, v.Value) {
		return
	}
	for line := range strings.Lines(v.Value) {
		p.redactor.hide(strings.TrimSpace(line))
	}
	start := p.text.offset(n.Line, n.Column)
	for _, c := range p.credentials {
		if line, _ := p.text.position(c.start); c.start >= start && line <= n.Line+1 {
			return
		}
	}
	if end := p.text.end[n.Line-1]; n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 { // as it is in the text
		for line := n.Line + 1; line <= p.text.block(n.Line, max(0, n.Column-2), false); line++ {
			p.redactor.hide(strings.TrimSpace(p.text.line(line)))
		}
	} else {
		p.redactor.hide(strings.Trim(strings.TrimSpace(string(p.text.src[start:end])), `"'`))
	}
	p.credentials = append(p.credentials, credential{start: start, end: start, what: "a credential", name: v.Name})
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
	if p.inBuild(line) {
		return what + ": everybody with the repository can read it, and App Runner has no secrets for builds. Remove it from the file and replace it where it was issued, since the history keeps it; `slipway secret put " +
			secretName(cmp.Or(name, "NAME")) + "` stores it for the running application"
	}
	variable := name
	if !variableName.MatchString(variable) {
		variable = "NAME"
	}
	return what + ": everybody with the repository can read it. Store it as a secret with `slipway secret put " + secretName(variable) +
		"`, remove the variable here, and write under run.secrets `- {name: " + variable + ", value-from: ARN}` with the ARN that the command prints; replace the credential where it was issued, since the history keeps it"
}

// inBuild reports whether a line is in the section build.
func (p *parser) inBuild(line int) bool {
	e, ok := p.get("build")
	return ok && !e.merged && isBlock(e.value, yaml.MappingNode) && line >= e.key.Line && line <= p.text.block(e.key.Line, e.key.Column-1, true)
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
