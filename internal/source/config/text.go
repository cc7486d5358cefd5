package config

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const byteOrderMark = "\xef\xbb\xbf"

// text is a file's source with its lines, as a YAML reader counts them.
type text struct {
	src   []byte
	start []int // offset of each line
	end   []int // offset of each line's end, before its break
	nl    string
}

func newText(src []byte) *text {
	t := &text{src: src, nl: "\n"}
	from := 0
	if bytes.HasPrefix(src, []byte(byteOrderMark)) {
		from = len(byteOrderMark)
	}
	for i := from; i < len(src); {
		n := breakAt(src[i:])
		if n == 0 {
			i++
			continue
		}
		if len(t.start) == 0 && n == 2 && src[i] == '\r' {
			t.nl = "\r\n"
		}
		t.start, t.end = append(t.start, from), append(t.end, i)
		i += n
		from = i
	}
	if from < len(src) || len(t.start) == 0 {
		t.start, t.end = append(t.start, from), append(t.end, len(src))
	}
	return t
}

// breakAt returns the length of the line break that b begins with, 0 for none.
func breakAt(b []byte) int {
	switch {
	case bytes.HasPrefix(b, []byte("\r\n")), bytes.HasPrefix(b, []byte("\u0085")):
		return 2
	case b[0] == '\n', b[0] == '\r':
		return 1
	case bytes.HasPrefix(b, []byte("\u2028")), bytes.HasPrefix(b, []byte("\u2029")):
		return 3
	}
	return 0
}

// lines returns the number of lines.
func (t *text) lines() int { return len(t.start) }

// line returns a line without its break; "" when there is no such line.
func (t *text) line(n int) string {
	if n < 1 || n > len(t.start) {
		return ""
	}
	return string(t.src[t.start[n-1]:t.end[n-1]])
}

// offset returns the offset of a character by line and column.
func (t *text) offset(line, column int) int {
	if line < 1 {
		return 0
	}
	if line > len(t.start) {
		return len(t.src)
	}
	at, end := t.start[line-1], t.end[line-1]
	for ; column > 1 && at < end; column-- {
		_, n := utf8.DecodeRune(t.src[at:end])
		at += n
	}
	return at
}

// position is the reverse of offset.
func (t *text) position(offset int) (line, column int) {
	line, _ = slices.BinarySearch(t.start, offset+1)
	line = max(line, 1)
	return line, utf8.RuneCount(t.src[min(t.start[line-1], offset):offset]) + 1
}

// after returns where the line after n begins; the end of the text when n is the last.
func (t *text) after(n int) int {
	if n < len(t.start) {
		return t.start[n]
	}
	return len(t.src)
}

// indent returns how many spaces line n begins with, and false when it has nothing
// else, is a comment or is indented by anything but spaces.
func (t *text) indent(n int) (int, bool) {
	line := t.line(n)
	rest := strings.TrimLeft(line, " ")
	return len(line) - len(rest), rest != "" && rest[0] != '#' && rest[0] != '\t'
}

// scalar returns the range of a scalar's text, quotes included. ok is false for block
// scalars and those of several lines.
func (t *text) scalar(n *yaml.Node) (from, to int, ok bool) {
	if n == nil || n.Kind != yaml.ScalarNode || n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 || n.Line < 1 || n.Line > len(t.end) {
		return 0, 0, false
	}
	from, lineEnd := t.offset(n.Line, n.Column), t.end[n.Line-1]
	rest := string(t.src[from:lineEnd])
	for strings.HasPrefix(rest, "&") || strings.HasPrefix(rest, "!") { // anchor and tag
		_, after, found := strings.Cut(rest, " ")
		if !found {
			return 0, 0, false
		}
		rest = strings.TrimLeft(after, " ")
		from = lineEnd - len(rest)
	}
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		to = closingDouble(rest)
	case n.Style&yaml.SingleQuotedStyle != 0:
		to = closingSingle(rest)
	case strings.HasPrefix(rest, n.Value):
		to = len(n.Value)
	default:
		return 0, 0, false
	}
	return from, from + to, to >= 0
}

func closingDouble(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

func closingSingle(s string) int {
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			i++
			continue
		}
		return i + 1
	}
	return -1
}

// block returns the last line of the entry or list item that begins in line first
// with the given indentation: everything below it that is indented further, and for
// a key also a list at its own indentation. Blank lines and comments at the end are
// not part of it.
func (t *text) block(first, indent int, key bool) (last int) {
	last = first
	for n := first + 1; n <= t.lines(); n++ {
		in, ok := t.indent(n)
		if !ok {
			continue
		}
		item := strings.HasPrefix(t.line(n)[in:], "- ") || t.line(n)[in:] == "-"
		if in < indent || in == indent && !(key && item) {
			break
		}
		last = n
	}
	return last
}

// commentAbove returns the first of the lines directly above line n that are comments
// with its indentation: they are about what follows. It returns n for none.
func (t *text) commentAbove(n, indent int) int {
	prefix := strings.Repeat(" ", indent) + "#"
	for n > 1 && strings.HasPrefix(t.line(n-1), prefix) {
		n--
	}
	return n
}

// shifted returns the lines from first to last with their indentation changed from
// one to another, each with a line break.
func (t *text) shifted(first, last, from, to int) string {
	var b strings.Builder
	for n := first; n <= last; n++ {
		line := t.line(n)
		if space := strings.TrimLeft(line, " "); space != "" {
			in := len(line) - len(space)
			line = strings.Repeat(" ", max(0, in-from+to)) + space
		}
		b.WriteString(line + t.nl)
	}
	return b.String()
}

// cut returns the edit that removes whole lines.
func (t *text) cut(first, last int) Edit {
	return Edit{Start: t.start[first-1], End: t.after(last)}
}

// insertAfter returns the edit that adds whole lines, each with its break, after
// line n; n is 0 for the top.
func (t *text) insertAfter(n int, lines string) Edit {
	if n == 0 {
		return Edit{Start: t.start[0], End: t.start[0], Text: lines}
	}
	at := t.after(n)
	if at == len(t.src) && t.end[len(t.end)-1] == len(t.src) { // no break at the end
		return Edit{Start: at, End: at, Text: t.nl + strings.TrimSuffix(lines, t.nl)}
	}
	return Edit{Start: at, End: at, Text: lines}
}

// quoted returns s as a YAML scalar on one line, quoted in the simplest way.
func quoted(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || breakAt([]byte(string(r))) > 0 }) {
		return doubleQuoted(s)
	}
	if strings.ContainsAny(s, `"\`) {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return `"` + s + `"`
}

func doubleQuoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029:
			const hex = "0123456789ABCDEF"
			b.WriteString(`\u`)
			for shift := 12; shift >= 0; shift -= 4 {
				b.WriteByte(hex[r>>shift&15])
			}
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
