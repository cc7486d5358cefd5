package config

import (
	"cmp"
	"fmt"
	pathpkg "path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxFindings bounds the findings of one file.
const maxFindings = 200

// maxEntries bounds what is read of one list or mapping, aliases resolved.
const maxEntries = 2000

// Parse reads a configuration file. name is the file's name or path; findings are in
// the order of the text. The File is usable when no finding is an Error; otherwise it
// holds what could be read. Parse never fails otherwise, whatever data holds, and its
// work is bounded by MaxSize.
func Parse(name string, data []byte) (File, []Finding) {
	file, findings := parse(name, data)
	return file, bounded(findings)
}

// parse is Parse with all findings.
func parse(name string, data []byte) (File, []Finding) {
	p := parsed(name, data)
	slices.SortStableFunc(p.findings, func(a, b Finding) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	return p.file, p.findings
}

// parsed reads a file.
func parsed(name string, data []byte) *parser {
	p := &parser{text: newText(data), objects: map[string]*object{}, excused: map[string]bool{}}
	p.redactor = &Redactor{}
	p.fileName(name)
	if len(data) > MaxSize {
		p.whole(Error, CodeTooLarge, "the file has %d bytes, %d at most; it holds the commands that build and start a service, and scripts belong in files of their own", len(data), MaxSize)
		return p
	}
	p.credentials = findCredentials(p.text)
	p.redactor = newRedactor(p.text, p.credentials)
	if root := p.load(); root != nil {
		p.collect(root)
		p.read()
	}
	p.reportCredentials()
	return p
}

// parser holds the state of one Parse.
type parser struct {
	text        *text
	file        File
	runtime     Runtime // of file.Runtime; zero when unknown
	findings    []Finding
	credentials []credential
	redactor    *Redactor
	objects     map[string]*object // mappings of the grammar by path
	excused     map[string]bool    // paths that are absent because of another finding
}

// object is one mapping of the grammar.
type object struct {
	node    *yaml.Node // nil when it exists only through misplaced keys
	entries map[string]entry
	unknown []entry
}

// entry is a key with its value, aliases resolved.
type entry struct {
	key, value *yaml.Node
	merged     bool // from a merge key or below an alias: its text is elsewhere
}

// at returns a position for findings.
func at(n *yaml.Node) (line, column int) {
	if n == nil || n.Line == 0 {
		return 1, 1
	}
	return n.Line, n.Column
}

func (p *parser) add(f Finding) {
	if f.Fix != nil && len(f.Fix.Edits) == 0 && f.Fix.Name == "" {
		f.Fix = nil
	}
	p.findings = append(p.findings, f)
}

// whole adds a finding about the whole file.
func (p *parser) whole(s Severity, code, format string, args ...any) {
	p.add(Finding{Line: 1, Column: 1, Severity: s, Code: code, Message: fmt.Sprintf(format, args...)})
}

// report adds a finding at a node, with a fix or nil.
func (p *parser) report(n *yaml.Node, s Severity, code string, fix *Fix, format string, args ...any) {
	line, column := at(n)
	p.add(Finding{Line: line, Column: column, Severity: s, Code: code, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// quote shows a text of the file in a message: redacted, short and on one line.
func (p *parser) quote(s string) string {
	s = p.redactor.Redact(s)
	const most = 60
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "..."
	}
	return strconv.Quote(s)
}

// bounded leaves out what is above maxFindings, and says so.
func bounded(findings []Finding) []Finding {
	if len(findings) <= maxFindings {
		return findings
	}
	more := findings[maxFindings:]
	severity := Warning
	if HasErrors(more) {
		severity = Error
	}
	return append(findings[:maxFindings:maxFindings], Finding{
		Line: more[0].Line, Column: more[0].Column, Severity: severity, Code: CodeTooMany,
		Message: fmt.Sprintf("%d further findings are left out", len(more)),
	})
}

var nearName = regexp.MustCompile(`(?i)^\.?app[-_. ]?runner(?:[-_.]?(?:config|configuration))?(?:\.[a-z0-9_-]+)?\.(?:ya?ml|json)(?:\.[a-z0-9]+)?$|^\.?app[-_ ]?runner$`)

// fileName reports names that App Runner does not read. A name that has nothing of
// apprunner.yaml is a file that somebody wants to have looked at.
func (p *parser) fileName(name string) {
	base := pathpkg.Base(strings.ReplaceAll(name, `\`, "/"))
	if base != FileName && nearName.MatchString(base) {
		p.add(Finding{
			Line: 1, Column: 1, Severity: Warning, Code: CodeFileName,
			Message: fmt.Sprintf("the file is called %s; App Runner reads only %s and ignores this one", strconv.Quote(base), FileName),
			Fix:     &Fix{Title: "rename it to " + FileName, Name: FileName},
		})
	}
}

// collect reads the mappings of the grammar from the root, and then finds a place for
// keys that have none where they are.
func (p *parser) collect(root *yaml.Node) {
	p.object("", entry{value: root})
	for _, path := range []string{"", "build", "build.commands", "run", "run.network"} {
		if o := p.objects[path]; o != nil {
			for _, e := range o.unknown {
				p.place(path, e)
			}
			o.unknown = nil
		}
	}
}

// object reads the mapping at a path and those below it.
func (p *parser) object(path string, e entry) {
	node := resolve(e.value)
	if node == nil || node.Kind != yaml.MappingNode {
		return
	}
	o := &object{node: e.value, entries: map[string]entry{}}
	if e.merged || e.value.Kind == yaml.AliasNode {
		o.node = nil // edits would be made at the anchor
	}
	p.objects[path] = o
	for _, field := range p.fields(node, path, o.node == nil, 0) {
		key := field.key.Value
		if !slices.Contains(allowed[path], key) {
			o.unknown = append(o.unknown, field)
			continue
		}
		o.entries[key] = field
		if below := join(path, key); allowed[below] != nil {
			p.object(below, field)
		}
	}
}

// fields returns the entries of a mapping, those of merge keys last. It reports
// duplicates and keys that are no text.
func (p *parser) fields(node *yaml.Node, path string, elsewhere bool, depth int) []entry {
	var own, inherited []entry
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(node.Content) && i < 2*maxEntries; i += 2 {
		key, value := resolve(node.Content[i]), node.Content[i+1]
		switch {
		case key == nil || key.Kind != yaml.ScalarNode:
			p.report(node.Content[i], Error, CodeType, nil, "a key of %s is a mapping or a list; it must be a word", inPath(path))
		case key.Value == "<<" && key.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0:
			inherited = append(inherited, p.merge(value, path, depth)...)
		case first[key.Value] != nil && path != "" && p.emptyTwice(node, i, path):
			j := slices.IndexFunc(own, func(e entry) bool { return e.key.Value == key.Value })
			if isNull(own[j].value) {
				own[j] = entry{key: key, value: value, merged: elsewhere}
			}
		case first[key.Value] != nil:
			p.report(node.Content[i], Error, CodeDuplicateKey, p.removeDuplicate(node, i), "%s is twice in %s, first in line %d; keep one of them", p.quote(key.Value), inPath(path), first[key.Value].Line)
		default:
			first[key.Value] = key
			own = append(own, entry{key: key, value: value, merged: elsewhere})
		}
	}
	for _, e := range inherited {
		if first[e.key.Value] == nil {
			first[e.key.Value] = e.key
			own = append(own, e)
		}
	}
	return own
}

// emptyTwice reports a key that is there twice, once without a value, and whether it
// is.
func (p *parser) emptyTwice(node *yaml.Node, i int, path string) bool {
	for j := 0; j < i; j += 2 {
		if node.Content[j].Value != node.Content[i].Value || node.Content[j].Kind != yaml.ScalarNode {
			continue
		}
		empty := -1
		switch {
		case isNull(node.Content[j+1]):
			empty = j
		case isNull(node.Content[i+1]):
			empty = i
		default:
			return false
		}
		fix := p.removeEntry(entry{key: node.Content[empty], value: node.Content[empty+1]}, node, "remove the one without a value")
		p.report(node.Content[i], Error, CodeDuplicateKey, fix, "%s is twice in %s, first in line %d, and one of them has no value; remove that one", p.quote(node.Content[i].Value), inPath(path), node.Content[j].Line)
		return true
	}
	return false
}

// removeDuplicate removes the second of two equal entries.
func (p *parser) removeDuplicate(node *yaml.Node, i int) *Fix {
	for j := 0; j < i; j += 2 {
		if node.Content[j].Value == node.Content[i].Value {
			if !same(node.Content[j+1], node.Content[i+1], 0) {
				return nil
			}
			return p.removeEntry(entry{key: node.Content[i], value: node.Content[i+1]}, node, "remove the second of two equal entries")
		}
	}
	return nil
}

// same reports whether two nodes have the same content.
func same(a, b *yaml.Node, depth int) bool {
	if depth > maxDepth || a.Kind != b.Kind || a.Value != b.Value || a.Tag != b.Tag || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !same(a.Content[i], b.Content[i], depth+1) {
			return false
		}
	}
	return true
}

// merge returns what a merge key brings.
func (p *parser) merge(value *yaml.Node, path string, depth int) []entry {
	const deepest = 4
	node := resolve(value)
	switch {
	case node == nil || depth > deepest:
	case node.Kind == yaml.MappingNode:
		return p.fields(node, path, true, depth+1)
	case node.Kind == yaml.SequenceNode:
		var all []entry
		for _, n := range node.Content[:min(len(node.Content), 16)] {
			if n := resolve(n); n != nil && n.Kind == yaml.MappingNode {
				all = append(all, p.fields(n, path, true, depth+1)...)
			}
		}
		return all
	}
	p.report(value, Error, CodeType, nil, "the merge key << of %s needs a mapping, or a list of mappings", inPath(path))
	return nil
}

// resolve follows aliases; nil when there is nothing to follow.
func resolve(n *yaml.Node) *yaml.Node {
	for range maxDepth {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	return nil
}

// inPath names a mapping in a sentence.
func inPath(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

// place handles a key that its mapping does not have: it says where the key belongs,
// and reads its value there if that place is free.
func (p *parser) place(path string, e entry) {
	key := e.key.Value
	if advice := serviceSettings[plain(key)]; advice != "" && home(path, key) == "" {
		p.report(e.key, Error, CodeServiceSetting, p.removeEntry(e, p.node(path), "remove it"), "%s has no place in apprunner.yaml: %s", p.quote(key), advice)
		return
	}
	target := home(path, key)
	if target == "" {
		p.unknownKey(path, e)
		return
	}
	if n := resolve(e.value); target == "run.command" && path == "" && n != nil && n.Kind == yaml.MappingNode {
		target = "run" // a section of another name
	}
	parent, name := split(target)
	if p.taken(path, e, parent, name) {
		return
	}
	if parent == path {
		p.report(e.key, Error, CodeMisspeltKey, p.rename(e, name), "%s is not a key of %s; it is written %q", p.quote(key), inPath(path), name)
	} else {
		p.report(e.key, Error, CodeMisplacedKey, p.move(path, e, target), "%s", misplacedText(path, p.quote(key), target))
	}
	e.merged = e.merged || parent != path // no further edits in a text that is going to move
	p.adopt(parent, name, e)
}

// misplacedText says where a key belongs.
func misplacedText(path, key, target string) string {
	switch {
	case target == "run.secrets" && (path == "build" || path == "build.commands"):
		return key + " can't be under " + path + ": App Runner gives secrets to the running application only; they are at run.secrets"
	case target == "run" || target == "build":
		return key + " is indented under " + path + "; it is a key of the file itself and begins in the first column"
	}
	return key + " is not a key of " + inPath(path) + "; it belongs at " + target
}

// taken reports a misplaced key whose place is taken, and whether it is.
func (p *parser) taken(path string, e entry, parent, name string) bool {
	if o := p.objects[parent]; o != nil {
		if _, there := o.entries[name]; there {
			p.report(e.key, Error, CodeMisplacedKey, nil, "%s is not a key of %s, and %s is given already; remove one of them", p.quote(e.key.Value), inPath(path), join(parent, name))
			return true
		}
	}
	return false
}

// adopt reads an entry as the key name of the mapping at parent.
func (p *parser) adopt(parent, name string, e entry) {
	if p.objects[parent] == nil {
		p.objects[parent] = &object{entries: map[string]entry{}}
		p.excused[parent] = true
	}
	p.objects[parent].entries[name] = e
	below := join(parent, name)
	if allowed[below] == nil || p.objects[below] != nil {
		return
	}
	p.object(below, e)
	if o := p.objects[below]; o != nil {
		for _, u := range o.unknown {
			p.place(below, u)
		}
		o.unknown = nil
	}
}

func (p *parser) unknownKey(path string, e entry) {
	key := e.key.Value
	if slices.Contains(envWords, plain(key)) {
		p.report(e.key, Error, CodeMisplacedKey, nil, "%s is not a key of %s; variables of the build are at build.env, those of the running application at run.env", p.quote(key), inPath(path))
		return
	}
	p.report(e.key, Error, CodeUnknownKey, nil, "there is no key %s in %s; it may have %s", p.quote(key), inPath(path), list(allowed[path]))
}

// list joins words for a sentence.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// node returns the mapping at a path, nil when it can't be edited.
func (p *parser) node(path string) *yaml.Node {
	if o := p.objects[path]; o != nil {
		return o.node
	}
	return nil
}

// get returns the entry at a path.
func (p *parser) get(path string) (entry, bool) {
	parent, name := split(path)
	if o := p.objects[parent]; o != nil {
		e, ok := o.entries[name]
		return e, ok
	}
	return entry{}, false
}
