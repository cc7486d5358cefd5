package config

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// maxDepth bounds the nesting of a file, and the length of chains of aliases. The
// grammar needs 5.
const maxDepth = 32

// load reads the source as YAML and returns the root mapping; nil when there is none,
// with a finding that says why.
func (p *parser) load() *yaml.Node {
	if !p.encoding() {
		return nil
	}
	body := bytes.TrimPrefix(p.text.src, []byte(byteOrderMark))
	marked := len(body) < len(p.text.src)
	if len(bytes.TrimSpace(body)) == 0 {
		what := "the file is empty"
		if marked {
			what = "the file is empty but for a byte order mark"
		}
		p.whole(Error, CodeEmpty, "%s; %s", what, plainShape)
		return nil
	}
	if marked {
		p.add(Finding{
			Line: 1, Column: 1, Severity: Warning, Code: CodeEncoding, Message: "the file begins with a byte order mark; not every reader of YAML accepts it",
			Fix: &Fix{Title: "remove the byte order mark", Edits: []Edit{{Start: 0, End: len(byteOrderMark)}}},
		})
	}
	docs, err := loadYAML(body)
	if err != nil {
		p.syntax(body, err)
		return nil
	}
	return p.root(docs)
}

// loadYAML reads the first two documents of a text. The library panics for some of
// its own mistakes: they count as errors of the text.
func loadYAML(body []byte) (docs []*yaml.Node, err error) {
	defer func() {
		if v := recover(); v != nil {
			docs, err = nil, fmt.Errorf("the YAML reader failed: %v", v)
		}
	}()
	loader, err := yaml.NewLoader(bytes.NewReader(body), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		return nil, err
	}
	for len(docs) < 2 {
		doc := new(yaml.Node)
		if err := loader.Load(doc); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

// encoding reports what is no UTF-8 text, and whether the source can be read.
func (p *parser) encoding() bool {
	src := p.text.src
	if s, ok := utf16Text(src); ok {
		p.add(Finding{
			Line: 1, Column: 1, Severity: Error, Code: CodeEncoding, Message: "the file is encoded in UTF-16; save it as UTF-8",
			Fix: &Fix{Title: "convert it to UTF-8", Edits: []Edit{{Start: 0, End: len(src), Text: s}}},
		})
		return false
	}
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			line, column := p.text.position(i)
			p.add(Finding{Line: line, Column: column, Severity: Error, Code: CodeEncoding, Message: fmt.Sprintf("the byte 0x%02X is not UTF-8; save the file as UTF-8", src[i])})
			return false
		case r == 0 || r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f || r >= 0x80 && r < 0xa0 && r != 0x85 || r == 0xfffe || r == 0xffff:
			if what := otherText(string(src)); what != "" {
				p.whole(Error, CodeOtherFormat, "this is %s; %s", what, plainShape)
				return false
			}
			line, column := p.text.position(i)
			p.add(Finding{
				Line: line, Column: column, Severity: Error, Code: CodeEncoding, Message: fmt.Sprintf("the control character U+%04X can't be in a YAML file", r),
				Fix: &Fix{Title: "remove it", Edits: []Edit{{Start: i, End: i + n}}},
			})
			return false
		}
		i += n
	}
	return !p.nonBreaking()
}

// nonBreaking reports lines that are indented by non-breaking spaces, which YAML
// takes for a part of the key.
func (p *parser) nonBreaking() bool {
	const nbsp = "\u00a0"
	fix := &Fix{Title: "indent with spaces"}
	line, column := 0, 0
	for n := 1; n <= p.text.lines(); n++ {
		s := p.text.line(n)
		lead := s[:len(s)-len(strings.TrimLeft(s, " "+nbsp))]
		if !strings.Contains(lead, nbsp) {
			continue
		}
		if line == 0 {
			line, column = n, strings.Index(lead, nbsp)+1
		}
		start := p.text.start[n-1]
		fix.Edits = append(fix.Edits, Edit{Start: start, End: start + len(lead), Text: strings.ReplaceAll(lead, nbsp, " ")})
	}
	if line > 0 {
		p.add(Finding{Line: line, Column: column, Severity: Error, Code: CodeEncoding, Message: "a non-breaking space (U+00A0) is used for indentation, as from a copied page; YAML allows only spaces", Fix: fix})
	}
	return line > 0
}

// utf16Text decodes a text in UTF-16 with a byte order mark.
func utf16Text(src []byte) (string, bool) {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(src, []byte{0xff, 0xfe}):
		order = binary.LittleEndian
	case bytes.HasPrefix(src, []byte{0xfe, 0xff}):
		order = binary.BigEndian
	default:
		return "", false
	}
	units := make([]uint16, 0, len(src)/2)
	for i := 2; i+1 < len(src); i += 2 {
		units = append(units, order.Uint16(src[i:]))
	}
	return string(utf16.Decode(units)), true
}

// root returns the mapping of the first document.
func (p *parser) root(docs []*yaml.Node) *yaml.Node {
	var root *yaml.Node
	if len(docs) > 0 && len(docs[0].Content) > 0 {
		root = resolve(docs[0].Content[0])
	}
	if root == nil || root.Kind == yaml.ScalarNode && root.Tag == "!!null" && root.Value == "" {
		p.whole(Error, CodeEmpty, "the file holds nothing but comments; %s", plainShape)
		return nil
	}
	if len(docs) > 1 && len(docs[1].Content) > 0 && docs[1].Content[0].Tag != "!!null" {
		p.report(docs[1].Content[0], Error, CodeDocuments, nil, "a second YAML document begins here, after `---`; the file has one")
	}
	if what := otherText(string(p.text.src)); what != "" && what != "JSON" {
		p.whole(Error, CodeOtherFormat, "this is %s; %s", what, plainShape)
		return nil
	}
	if root.Kind != yaml.MappingNode {
		what := "a single value"
		if root.Kind == yaml.SequenceNode {
			what = "a list"
		}
		p.report(root, Error, CodeType, nil, "the file is %s; %s", what, plainShape)
		return nil
	}
	if what := otherMapping(root); what != "" {
		p.whole(Error, CodeOtherFormat, "this is %s; %s", what, plainShape)
		return nil
	}
	if !p.ours(root) && otherText(string(p.text.src)) == "JSON" {
		p.whole(Error, CodeOtherFormat, "this is JSON without a key of apprunner.yaml; %s", plainShape)
		return nil
	}
	if otherText(string(p.text.src)) == "JSON" {
		p.whole(Warning, CodeOtherFormat, "this is JSON; it is read, as JSON is YAML, but App Runner documents YAML only")
	}
	return root
}

// ours reports whether a mapping has a key of the grammar.
func (p *parser) ours(root *yaml.Node) bool {
	for i := 0; i < len(root.Content); i += 2 {
		switch root.Content[i].Value {
		case "runtime", "build", "run", "<<":
			return true
		}
	}
	return false
}

// syntax reports an error of the YAML reader in plain words.
func (p *parser) syntax(body []byte, err error) {
	src := string(p.text.src)
	if what := otherText(src); what != "" {
		p.whole(Error, CodeOtherFormat, "this is %s; %s", what, plainShape)
		return
	}
	e, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		p.whole(Error, CodeSyntax, "the file is no YAML")
		return
	}
	line, column := max(1, e.Mark.Line), max(1, e.Mark.Column)
	if line > p.text.lines() { // the end of the file
		line = p.text.lines()
		column = utf8.RuneCountInString(p.text.line(line)) + 1
	}
	message, line, column := p.explain(e, line, column)
	f := Finding{Line: line, Column: column, Severity: Error, Code: CodeSyntax, Message: message}
	if !strings.Contains(e.Message, "depth") {
		f.Fix = p.repair(body, line, e.Mark.Line)
	}
	p.add(f)
}

var (
	keyForm   = regexp.MustCompile(`^(\s*(?:- +)*)([A-Za-z_][A-Za-z0-9_-]*)\s*:(?:\s|$)`)
	cutKey    = regexp.MustCompile(`^\s*[A-Za-z][A-Za-z0-9_-]*\s*$`)
	noSpace   = regexp.MustCompile(`^\s*(?:- +)?(version|runtime|build|run|commands|command|name|value|value-from|port|env|network|pre-run|pre-build|post-build|runtime-version|secrets):[^\s:/]`)
	knownSpot = regexp.MustCompile(`^( *)(version|runtime|build|run)\s*:`)
)

// explain puts an error of the YAML reader into plain words, at the place where the
// mistake is rather than where the reader noticed it.
func (p *parser) explain(e *yaml.LoadError, line, column int) (string, int, int) {
	if message, l, c := p.visible(line); message != "" {
		return message, l, c
	}
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(e.Message, w) })
	}
	switch {
	case has("could not find expected ':'"):
		return p.noColon(line, column)
	case has("unexpected end of stream"), has("unexpected document indicator"):
		if e.ContextMark.Line > 0 {
			line, column = e.ContextMark.Line, max(1, e.ContextMark.Column)
		}
		return "a quote that begins here is never closed", line, column
	case has("did not find expected key", "block collection", "did not find expected '-' indicator"):
		return p.indentation(line, column)
	}
	for _, m := range readerMessages {
		if has(m.part) {
			return m.plain, line, column
		}
	}
	return "the file is no YAML from here on", line, column
}

// readerMessages say in plain words what messages of the YAML reader mean.
var readerMessages = []struct{ part, plain string }{
	{"depth", fmt.Sprintf("the file is nested more than %d deep", maxDepth)},
	{"unknown anchor", "a value that begins with * refers to an anchor, and there is none of this name; put the value in quotes if the * is meant"},
	{"alphabetic or numeric character", "a value that begins with * or & has a meaning of its own in YAML; put it in quotes"},
	{"mapping values are not allowed", "a colon with a space after it can't be in a value without quotes, and a key can't be where a value is: put the value in quotes, or check the indentation"},
	{"expected ',' or", "a list in [ ] or a mapping in { } is not closed, or lacks a comma"},
	{"cannot start any token", "a value can't begin with this character; put the value in quotes"},
	{"escape", "a backslash in double quotes begins an escape sequence that YAML does not know; use single quotes"},
	{"block scalar", "the text after | or > is not in order: it begins on the next line, indented further than its key"},
	{"indentation indicator", "the text after | or > is not in order: it begins on the next line, indented further than its key"},
	{"tag", "a value that begins with ! has a YAML tag; put the value in quotes"},
	{"node content", "a value is missing or begins with a character that has a meaning in YAML; put it in quotes"},
}

// visible finds mistakes that can be seen in a line or the one above it, whatever the
// reader said; "" for none.
func (p *parser) visible(line int) (string, int, int) {
	for n := line; n > 0 && n >= line-1; n-- {
		text := p.text.line(n)
		switch {
		case strings.Contains(text[:len(text)-len(strings.TrimLeft(text, " \t"))], "\t"):
			return "a tab is used for indentation; YAML allows only spaces", n, strings.IndexByte(text, '\t') + 1
		case noSpace.MatchString(text):
			return "there is no space after the colon of " + p.quote(noSpace.FindStringSubmatch(text)[1]), n, strings.IndexByte(text, ':') + 2
		}
	}
	if text := p.text.line(line - 1); cutKey.MatchString(text) && knownKey(strings.TrimSpace(text)) {
		return "the key " + p.quote(strings.TrimSpace(text)) + " has no colon", line - 1, len(text) - len(strings.TrimLeft(text, " ")) + 1
	}
	return "", 0, 0
}

// noColon explains a key without a colon.
func (p *parser) noColon(line, column int) (string, int, int) {
	for n := line; n > 0 && n >= line-2; n-- {
		if text := p.text.line(n); cutKey.MatchString(text) {
			return "the line has a word but no colon: is it a key that was cut off?", n, len(text) - len(strings.TrimLeft(text, " ")) + 1
		}
	}
	return "a key has no colon, or a value of several lines is not indented further than its key", line, column
}

// indentation explains a line that fits nowhere.
func (p *parser) indentation(line, column int) (string, int, int) {
	in, _ := p.text.indent(line)
	if m := knownSpot.FindStringSubmatch(p.text.line(line)); m != nil && in > 0 {
		return fmt.Sprintf("%q is indented by %d; it is a key of the file itself and begins in the first column", m[2], in), line, in + 1
	}
	for n := line - 1; n > 0; n-- {
		before, ok := p.text.indent(n)
		if !ok {
			continue
		}
		if before != in {
			return fmt.Sprintf("the line is indented by %d, which fits no line above it; keys of one mapping and items of one list have the same indentation", in), line, column
		}
		break
	}
	return "the line does not fit the one above it: a key is among list items, a list item among keys, or a quote or bracket is closed too early", line, column
}

func asLoadError(err error) (*yaml.LoadError, bool) { return errors.AsType[*yaml.LoadError](err) }
