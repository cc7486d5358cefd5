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

// tokenForms are the credentials whose form says what they are, whatever the name
// beside them.
var tokenForms = []struct {
	what string
	form *regexp.Regexp
}{
	{"an AWS access key id", regexp.MustCompile(`\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b`)},
	{"a GitHub token", regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b`)},
	{"a GitLab token", regexp.MustCompile(`\bgl(?:pat|dt|rt|ptt|ft|soat|cbt|agent)-[A-Za-z0-9_.-]{20,255}`)},
	{"a Slack token", regexp.MustCompile(`\bxox[abeoprs]-[A-Za-z0-9-]{10,255}|\bxapp-[0-9]-[A-Za-z0-9-]{10,255}`)},
	{"a Slack webhook URL", regexp.MustCompile(`hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,255}`)},
	{"a Stripe key", regexp.MustCompile(`\b(?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,255}\b`)},
	{"a Google API key", regexp.MustCompile(`\bAIza[A-Za-z0-9_-]{35}`)},
	{"a Google OAuth secret", regexp.MustCompile(`\bGOCSPX-[A-Za-z0-9_-]{20,64}`)},
	{"an OpenAI or Anthropic key", regexp.MustCompile(`\bsk-(?:ant-|proj-|svcacct-)?[A-Za-z0-9_-]{20,255}`)},
	{"a SendGrid key", regexp.MustCompile(`\bSG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}`)},
	{"an npm token", regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}\b`)},
	{"a PyPI token", regexp.MustCompile(`\bpypi-[A-Za-z0-9_-]{32,}`)},
	{"a Docker Hub token", regexp.MustCompile(`\bdckr_pat_[A-Za-z0-9_-]{20,}`)},
	{"a Twilio key", regexp.MustCompile(`\bSK[0-9a-f]{32}\b`)},
	{"a JSON Web Token", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`)},
	{"a private key", regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:[\s\S]*?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|[\s\S]*)`)},
	{"an age key", regexp.MustCompile(`\bAGE-SECRET-KEY-1[A-Z0-9]{20,}`)},
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

	secretWord  = regexp.MustCompile(`(?i)(?:^|[_.-])(?:[a-z0-9]*(?:passw(?:or)?d|passphrase|secret|token)s?|pwd|pass|credentials?|api_?-?key|apikey|access_?-?key|private_?-?key|auth_?-?key|signing_?-?key|encryption_?-?key|master_?-?key|secret_?-?key|service_?role_?key|jwt_?key|salt)(?:$|[_.-])|(?:[a-z0-9](?:ApiKey|AccessKey|PrivateKey|SecretKey))`)
	passwordish = regexp.MustCompile(`(?i)passw(?:or)?d|passphrase|pwd|(?:^|_)pass(?:$|_)`)
	// notSecret are the endings of names that speak about a secret and hold none.
	notSecret = regexp.MustCompile(`(?i)[_.-](?:len(?:gth)?|min|max|ttl|expir[a-z_]*|exp|age|lifetime|duration|timeout|minutes|seconds|hours|days|name|names|arn|path|file|dir|url|uri|endpoint|host|id|enabled?|required|disabled|algorithm|alg|issuer|audience|header|type|format|prefix|suffix|field|policy|rotation|version|region|provider|backend|count|limit|size|rounds|cookie|scope|scopes|from)$|(?i)(?:^|[_.-])(?:public|publishable)[_.-]|(?i)^(?:max|min|use|enable|allow|require)_`)

	placeholder = regexp.MustCompile(`(?i)^(?:x{3,}|\*+|\.{3,}|<.*>|\{\{?.*\}?\}|\$\{?.*|%.*%|\[.*\]|!ref.*|arn:.*|/.*|(?:your|my|the|some|insert|enter|put|add|replace|change|dummy|sample|placeholder|redacted|todo|tbd|none|null|undefined|test|example|fake|mock|default|secret|password|token|value|key|here|me|true|false|yes|no|on|off|please|with|real|api|a|an|in|dev|development|local|localhost|postgres|root|admin|user|username|not|set|empty|[-_ .!0-9])+)$`)
)

// findCredentials returns what in the source looks like a live credential, in order
// and without overlaps. It goes by lines and so works on any text.
func findCredentials(t *text) []credential {
	src := string(t.src)
	var found []credential
	add := func(start, end int, what, name string) {
		if end > start && !strings.Contains(src[start:end], "EXAMPLE") {
			found = append(found, credential{start, end, what, name})
		}
	}
	for _, f := range tokenForms {
		for _, m := range f.form.FindAllStringIndex(src, -1) {
			add(m[0], m[1], f.what, "")
		}
	}
	for _, m := range urlPassword.FindAllStringSubmatchIndex(src, -1) {
		if !placeholder.MatchString(src[m[2]:m[3]]) {
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

// looksSecret reports whether the value of a name looks like a live credential.
func looksSecret(name, value string) bool {
	if !secretWord.MatchString(name) || notSecret.MatchString(name) || placeholder.MatchString(value) {
		return false
	}
	if strings.Contains(value, "://") || strings.ContainsAny(value, "\n") && len(value) > 4096 {
		return false // a URL's password is found by itself
	}
	if strings.HasPrefix(value, "$") || strings.HasPrefix(value, "`") {
		return false
	}
	if passwordish.MatchString(name) {
		return len(value) >= 4
	}
	return len(value) >= 8 && (entropy(value) >= 3 || len(value) >= 12 && strings.ContainsAny(value, "0123456789") && entropy(value) >= 2.5)
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
