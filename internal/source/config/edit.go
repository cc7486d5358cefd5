package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// The methods here make fixes. Each returns nil when the text can't be changed
// safely: then the finding has no fix. What a fix does is proved by ApplyFixes, which
// reads its result again.

// sortEdits puts the edits of a fix in order; nil when they overlap.
func sortEdits(f *Fix) *Fix {
	if f == nil || len(f.Edits) == 0 {
		return nil
	}
	slices.SortStableFunc(f.Edits, func(a, b Edit) int {
		if a.Start != b.Start {
			return a.Start - b.Start
		}
		return a.End - b.End
	})
	for i := 1; i < len(f.Edits); i++ {
		if f.Edits[i].Start < f.Edits[i-1].End {
			return nil
		}
	}
	return f
}

// replaceValue replaces a scalar on one line.
func (p *parser) replaceValue(e entry, with, title string) *Fix {
	n := e.value
	if n == nil || e.merged {
		return nil
	}
	if n.Kind == yaml.ScalarNode && isNull(n) && n.Value == "" { // nothing is there
		if e.key == nil || e.key.Line != n.Line && n.Line != e.key.Line+1 {
			return nil
		}
		_, to, ok := p.text.scalar(e.key)
		if !ok || !strings.HasPrefix(strings.TrimLeft(string(p.text.src[to:p.text.end[e.key.Line-1]]), " "), ":") {
			return nil
		}
		colon := to + strings.IndexByte(string(p.text.src[to:]), ':') + 1
		return &Fix{Title: title, Edits: []Edit{{Start: colon, End: colon, Text: " " + with}}}
	}
	from, to, ok := p.text.scalar(n)
	if !ok {
		return nil
	}
	return &Fix{Title: title, Edits: []Edit{{Start: from, End: to, Text: with}}}
}

// rename replaces a key.
func (p *parser) rename(e entry, name string) *Fix {
	from, to, ok := p.text.scalar(e.key)
	if !ok || e.merged {
		return nil
	}
	return &Fix{Title: "write it " + name, Edits: []Edit{{Start: from, End: to, Text: name}}}
}

// isBlock reports whether a node is a mapping or list in block style.
func isBlock(n *yaml.Node, kind yaml.Kind) bool {
	return n != nil && n.Kind == kind && n.Style&yaml.FlowStyle == 0 && n.Line > 0
}

// blockOf returns the lines of an entry of a block mapping; ok is false when it does
// not begin its first line.
func (p *parser) blockOf(e entry, in *yaml.Node) (first, last int, ok bool) {
	if e.merged || !isBlock(in, yaml.MappingNode) || e.key.Line < 1 || e.key.Style&yaml.TaggedStyle != 0 || e.key.Anchor != "" {
		return 0, 0, false
	}
	indent, good := p.text.indent(e.key.Line)
	if !good || indent != e.key.Column-1 {
		return 0, 0, false
	}
	return e.key.Line, p.text.block(e.key.Line, indent, true), true
}

// hasAnchor reports whether a node holds an anchor that others may refer to.
func hasAnchor(n *yaml.Node, depth int) bool {
	if n == nil || depth > maxDepth {
		return true
	}
	return n.Anchor != "" || slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return hasAnchor(c, depth+1) })
}

// removeEntry removes an entry of a block mapping with its lines. An entry that is the
// only one of its mapping is removed with the mapping's key, if the caller's entry is
// nested in nothing else; otherwise its value would become null.
func (p *parser) removeEntry(e entry, in *yaml.Node, title string) *Fix {
	if !e.merged && in != nil && in.Kind == yaml.MappingNode && in.Style&yaml.FlowStyle != 0 {
		return p.removeInFlow(e, in, title)
	}
	first, last, ok := p.blockOf(e, in)
	if !ok || hasAnchor(e.value, 0) {
		return nil
	}
	if len(in.Content) == 2 {
		return p.removeOnly(in, title)
	}
	return &Fix{Title: title, Edits: []Edit{p.text.cut(first, last)}}
}

// removeInFlow removes an entry of a mapping in { } with the comma beside it.
func (p *parser) removeInFlow(e entry, in *yaml.Node, title string) *Fix {
	from, _, ok := p.text.scalar(e.key)
	_, to, good := p.text.scalar(e.value)
	if !ok || !good || len(in.Content) == 2 || e.value.Anchor != "" || to < from {
		return nil
	}
	src := p.text.src
	if rest := strings.TrimLeft(string(src[to:]), " "); strings.HasPrefix(rest, ",") {
		to = len(src) - len(strings.TrimLeft(rest[1:], " "))
	} else if before := strings.TrimRight(string(src[:from]), " "); strings.HasSuffix(before, ",") {
		from = len(before) - 1
	} else {
		return nil
	}
	return &Fix{Title: title, Edits: []Edit{{Start: from, End: to}}}
}

// removeOnly removes a mapping or list whose only content goes, with the key of it.
func (p *parser) removeOnly(node *yaml.Node, title string) *Fix {
	for path, o := range p.objects {
		for name, e := range o.entries {
			if e.value != node || o.node == nil || join(path, name) == "build" || join(path, name) == "run" {
				continue
			}
			return p.removeEntry(e, o.node, title)
		}
	}
	return nil
}

// removeItem removes an item of a block list with its lines.
func (p *parser) removeItem(item, in *yaml.Node, title string) *Fix {
	if item == nil || !isBlock(in, yaml.SequenceNode) || hasAnchor(item, 0) {
		return nil
	}
	if len(in.Content) == 1 {
		return p.removeOnly(in, title)
	}
	line := item.Line
	indent, ok := p.text.indent(line)
	if !ok || indent != in.Column-1 || !strings.HasPrefix(p.text.line(line)[indent:], "-") {
		return nil
	}
	return &Fix{Title: title, Edits: []Edit{p.text.cut(line, p.text.block(line, indent, false))}}
}

// lastLine returns the last line of a block mapping.
func (p *parser) lastLine(in *yaml.Node) (last int, ok bool) {
	if !isBlock(in, yaml.MappingNode) || len(in.Content) < 2 {
		return 0, false
	}
	key := in.Content[len(in.Content)-2]
	if resolve(key) == nil || key.Line < 1 {
		return 0, false
	}
	indent, good := p.text.indent(key.Line)
	if !good || indent != in.Column-1 && key.Column-1 != indent {
		return 0, false
	}
	return p.text.block(key.Line, indent, true), true
}

// addKey adds an entry to the mapping at a path: at the top of the file's own mapping,
// at the end of others. lines are without indentation.
func (p *parser) addKey(path string, lines ...string) *Fix {
	in := p.node(path)
	if !isBlock(in, yaml.MappingNode) || len(in.Content) < 2 {
		return nil
	}
	indent := in.Column - 1
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(strings.Repeat(" ", indent) + line + p.text.nl)
	}
	key, _, _ := strings.Cut(lines[0], ":")
	title := "add " + strings.TrimSpace(lines[0])
	if len(lines) > 1 {
		title = "add " + join(path, key)
	}
	if path == "" && (key == "version" || key == "runtime") {
		at := in.Content[0].Line - 1
		if in.Content[0].Column != in.Column || indent != 0 {
			return nil
		}
		if key == "runtime" && in.Content[0].Value == "version" {
			at++
		}
		return &Fix{Title: title, Edits: []Edit{p.text.insertAfter(at, b.String())}}
	}
	last, ok := p.lastLine(in)
	if !ok {
		return nil
	}
	return &Fix{Title: title, Edits: []Edit{p.text.insertAfter(last, b.String())}}
}

// nothingToBuild is a command for files that have none: App Runner requires one.
const nothingToBuild = `echo "nothing to build"`

// addBuild adds build.commands.build with a command that does nothing.
func (p *parser) addBuild() *Fix {
	const command = "- " + nothingToBuild
	if e, ok := p.get("build.commands.build"); ok {
		fix := p.replaceValue(e, "["+"'"+nothingToBuild+"'"+"]", "add a command that does nothing")
		return fix
	}
	switch {
	case p.node("build.commands") != nil:
		return p.addKey("build.commands", "build:", "  "+command)
	case p.objects["build.commands"] != nil:
		return nil
	case p.node("build") != nil:
		if _, there := p.get("build.commands"); !there {
			return p.addKey("build", "commands:", "  build:", "    "+command)
		}
		return nil
	}
	if p.objects["build"] != nil { // its keys are elsewhere
		return nil
	}
	if e, there := p.get("build"); there {
		if !e.merged && p.once("build") && isNull(e.value) && e.value.Value == "" && e.key.Column == 1 {
			lines := []string{"  commands:", "    build:", "      " + command, ""}
			return &Fix{Title: "add build.commands.build", Edits: []Edit{p.text.insertAfter(e.key.Line, strings.Join(lines, p.text.nl))}}
		}
		return nil
	}
	return p.addKey("", "build:", "  commands:", "    build:", "      "+command)
}

// once reports whether a key is only once in the file's own mapping.
func (p *parser) once(key string) bool {
	n := 0
	if root := p.node(""); root != nil {
		for i := 0; i < len(root.Content); i += 2 {
			if root.Content[i].Value == key {
				n++
			}
		}
	}
	return n == 1
}

// move moves an entry to the end of the mapping that target is in. That mapping must
// be there, or, for run.network.port, be made.
func (p *parser) move(path string, e entry, target string) *Fix {
	from := p.node(path)
	first, last, ok := p.blockOf(e, from)
	if !ok || len(from.Content) == 2 && p.emptied(path) || hasAnchor(e.value, 0) && path == "" {
		return nil
	}
	parent, name := split(target)
	keyFrom, keyTo, ok := p.text.scalar(e.key)
	if !ok {
		return nil
	}
	old := e.key.Column - 1
	body := p.text.shifted(first, last, old, 0)
	body = name + body[keyTo-keyFrom:]
	if above := p.text.commentAbove(first, old); above < first {
		body = p.text.shifted(above, first-1, old, 0) + body
		first = above
	}
	to, in := p.node(parent), 0
	title := "move it to " + target
	switch {
	case isBlock(to, yaml.MappingNode) && len(to.Content) >= 2:
		in = to.Column - 1
	case parent == "run.network" && p.objects[parent] == nil && isBlock(p.node("run"), yaml.MappingNode):
		to = p.node("run")
		in = to.Column - 1
		body = "network:" + p.text.nl + indented(body, 2)
	case parent == "run.network" && p.objects["run"] == nil && isBlock(p.node(""), yaml.MappingNode):
		to = p.node("")
		body = "run:" + p.text.nl + "  network:" + p.text.nl + indented(body, 4)
	case parent == "build.commands" && p.node("build") != nil && isBlock(p.node("build"), yaml.MappingNode):
		if _, there := p.get("build.commands"); there {
			return nil
		}
		to = p.node("build")
		in = to.Column - 1
		body = "commands:" + p.text.nl + indented(body, 2)
	case parent == "run" && p.objects["run"] == nil && isBlock(p.node(""), yaml.MappingNode):
		to = p.node("")
		body = "run:" + p.text.nl + indented(body, 2)
	default:
		return nil
	}
	at, ok := p.lastLine(to)
	if !ok {
		return nil
	}
	if at >= first && at < last {
		return nil
	}
	cut := p.text.cut(first, last)
	add := p.text.insertAfter(at, indented(body, in))
	if parent == "" && name == "runtime" && len(to.Content) > 0 && to.Content[0].Value == "version" {
		add = p.text.insertAfter(to.Content[0].Line, indented(body, in))
	}
	if add.Start == cut.End { // the entry is the last of both mappings
		return &Fix{Title: title, Edits: []Edit{{Start: cut.Start, End: cut.End, Text: strings.TrimPrefix(add.Text, p.text.nl)}}}
	}
	return sortEdits(&Fix{Title: title, Edits: []Edit{cut, add}})
}

// emptied reports whether the mapping at a path may not lose its only entry.
func (p *parser) emptied(path string) bool { return path == "" || path == "run" }

// indented indents each line that is not blank.
func indented(s string, by int) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if strings.TrimSpace(line) != "" {
			b.WriteString(strings.Repeat(" ", by))
		}
		b.WriteString(line)
	}
	return b.String()
}

// nest puts keys between the key of e and its value: a list below `commands` becomes
// the list below `commands: build:`.
func (p *parser) nest(e entry, title string, keys ...string) *Fix {
	n := e.value
	if e.merged || !isBlock(n, yaml.SequenceNode) && !isBlock(n, yaml.MappingNode) || n.Line <= e.key.Line || n.Anchor != "" {
		return nil
	}
	indent, ok := p.text.indent(e.key.Line)
	if !ok || indent != e.key.Column-1 {
		return nil
	}
	last := p.text.block(e.key.Line, indent, true)
	var b strings.Builder
	for i, key := range keys {
		b.WriteString(strings.Repeat(" ", indent+2*(i+1)) + key + ":" + p.text.nl)
	}
	by := 2 * len(keys)
	if n.Column-1 == indent { // a list at the indentation of its key
		by += 2
	}
	first := e.key.Line + 1
	b.WriteString(p.text.shifted(first, last, 0, by))
	cut := p.text.cut(first, last)
	out := b.String()
	if p.text.end[last-1] == len(p.text.src) {
		out = strings.TrimSuffix(out, p.text.nl)
	}
	return &Fix{Title: title, Edits: []Edit{{Start: cut.Start, End: cut.End, Text: out}}}
}

// asMapping repairs a section that is something else.
func (p *parser) asMapping(path string, e entry) *Fix {
	switch path {
	case "build.commands":
		if n := e.value; n.Kind == yaml.ScalarNode {
			return p.scalarToList(e, "build")
		}
		if n := e.value; n.Kind == yaml.SequenceNode && n.Style&yaml.FlowStyle != 0 && !e.merged && n.Anchor == "" {
			from, end := p.text.offset(n.Line, n.Column), p.text.end[n.Line-1]
			if raw := strings.TrimRight(string(p.text.src[from:end]), " "); strings.HasSuffix(raw, "]") && strings.Count(raw, "]") == 1 {
				return &Fix{Title: "put the list under build.commands.build", Edits: []Edit{{Start: from, End: from + len(raw), Text: "{build: " + raw + "}"}}}
			}
		}
		return p.nest(e, "put the list under build.commands.build", "build")
	case "build":
		return p.nest(e, "put the list under build.commands.build", "commands", "build")
	case "run.network":
		if n := e.value; n.Kind == yaml.ScalarNode && portForm.MatchString(n.Value) {
			return p.replaceValue(e, "{port: "+portForm.FindStringSubmatch(n.Value)[1]+"}", "write it as network.port")
		}
	}
	return nil
}

// scalarToList writes a scalar, also a block scalar, as the first item of a list, or
// of the list below a key.
func (p *parser) scalarToList(e entry, below string) *Fix {
	n := e.value
	if e.merged || n.Kind != yaml.ScalarNode || n.Line != e.key.Line || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 || n.Value == "" {
		return nil
	}
	indent, ok := p.text.indent(e.key.Line)
	if !ok || indent != e.key.Column-1 {
		return nil
	}
	from := p.text.offset(n.Line, n.Column)
	space := from
	for space > 0 && p.text.src[space-1] == ' ' {
		space--
	}
	lead := p.text.nl + strings.Repeat(" ", indent+2)
	if below != "" {
		lead += below + ":" + p.text.nl + strings.Repeat(" ", indent+4)
	} else if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		lead = p.text.nl + strings.Repeat(" ", indent) // its text may be indented by one only
	}
	return &Fix{Title: "write it as a list", Edits: []Edit{{Start: space, End: from, Text: lead + "- "}}}
}

// replaceWhole replaces an entry's value, of any number of lines, by a command line.
func (p *parser) replaceWhole(e entry, with, title string) *Fix {
	if with == "" || e.merged || e.value.Kind != yaml.SequenceNode || hasAnchor(e.value, 0) {
		return nil
	}
	indent, ok := p.text.indent(e.key.Line)
	_, to, good := p.text.scalar(e.key)
	if !ok || !good || indent != e.key.Column-1 {
		return nil
	}
	last := p.text.block(e.key.Line, indent, true)
	rest := string(p.text.src[to:p.text.end[last-1]])
	if !strings.HasPrefix(strings.TrimLeft(rest, " "), ":") || strings.Contains(rest, "#") {
		return nil // a comment would go
	}
	return &Fix{Title: title, Edits: []Edit{{Start: to, End: p.text.end[last-1], Text: ": " + p.commandScalar(with)}}}
}

// commandScalar writes a command as a scalar, without quotes where YAML allows it.
func (p *parser) commandScalar(command string) string {
	if simpleCommand.MatchString(command) {
		return command
	}
	return quoted(command)
}

// nameAndValue writes "NAME: value" as name and value; dash is "- " for entries of a
// mapping and "" for items of a list.
func (p *parser) nameAndValue(e entry, field, dash string) *Fix {
	from, to, ok := p.text.scalar(e.key)
	if !ok || e.key.Style&yaml.TaggedStyle != 0 || e.key.Anchor != "" {
		return nil
	}
	indent := e.key.Column - 1 + len(dash)
	lead := p.text.nl + strings.Repeat(" ", indent) + field + ": "
	name := Edit{Start: from, End: from, Text: dash + "name: "}
	title := "write it with name and " + field
	n := e.value
	if isNull(n) && n.Value == "" {
		lineEnd := p.text.end[e.key.Line-1]
		rest := string(p.text.src[to:lineEnd])
		if strings.TrimSpace(rest) != ":" {
			return nil
		}
		return &Fix{Title: title, Edits: []Edit{name, {Start: to, End: lineEnd, Text: lead + `""`}}}
	}
	at, _, ok := p.text.scalar(n)
	if !ok || n.Line != e.key.Line || strings.TrimSpace(string(p.text.src[to:p.text.offset(n.Line, n.Column)])) != ":" || n.Anchor != "" {
		return nil
	}
	if n.Style&yaml.TaggedStyle != 0 {
		at = p.text.offset(n.Line, n.Column)
	}
	return &Fix{Title: title, Edits: []Edit{name, {Start: to, End: at, Text: lead}}}
}

// splitAssignment writes an item "NAME=value" as name and value.
func (p *parser) splitAssignment(v *variable, name, value, field string) *Fix {
	from, to, ok := p.text.scalar(v.item)
	if !ok {
		return nil
	}
	lead := p.text.nl + strings.Repeat(" ", v.item.Column-1)
	return &Fix{Title: "write it with name and " + field, Edits: []Edit{{Start: from, End: to, Text: "name: " + name + lead + field + ": " + quoted(value)}}}
}

// addValue adds an empty value to an entry that has only a name.
func (p *parser) addValue(v variable, n *yaml.Node, field string) *Fix {
	if field != "value" || v.item == nil || !isBlock(n, yaml.MappingNode) || len(n.Content) != 2 {
		return nil
	}
	_, to, ok := p.text.scalar(n.Content[1])
	if !ok || n.Content[1].Line != n.Content[0].Line {
		return nil
	}
	return &Fix{Title: `add value: ""`, Edits: []Edit{{Start: to, End: to, Text: p.text.nl + strings.Repeat(" ", n.Content[0].Column-1) + `value: ""`}}}
}

// removePreRun moves pre-run's commands to the end of the build's when the runtime
// has no pre-run and both are plain block lists.
func (p *parser) removePreRun(e entry) *Fix {
	build, ok := p.get("build.commands.build")
	run := p.node("run")
	first, last, whole := p.blockOf(e, run)
	if !ok || !whole || build.merged || !isBlock(build.value, yaml.SequenceNode) || !isBlock(e.value, yaml.SequenceNode) || len(run.Content) == 2 || hasAnchor(e.value, 0) || e.value.Line <= e.key.Line {
		return nil
	}
	indent, good := p.text.indent(build.key.Line)
	if !good || indent != build.key.Column-1 {
		return nil
	}
	to := p.text.block(build.key.Line, indent, true)
	body := p.text.shifted(first+1, last, e.value.Column-1, build.value.Column-1)
	return sortEdits(&Fix{Title: "move its commands to build.commands.build", Edits: []Edit{p.text.cut(first, last), p.text.insertAfter(to, body)}})
}
