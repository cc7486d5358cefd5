package config

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// variable is an entry of env or secrets, with its places.
type variable struct {
	Variable
	node *yaml.Node // the value
	item *yaml.Node // the list's item; nil when it can't be edited
	list *yaml.Node
}

// variables reads a list of variables; field is "value" or "value-from".
func (p *parser) variables(e entry, path, field string) []Variable {
	n := resolve(e.value)
	switch {
	case n == nil || isNull(n):
		return nil
	case n.Kind == yaml.MappingNode:
		return p.variablesOfMap(e, n, path, field)
	case n.Kind == yaml.ScalarNode:
		p.report(e.value, Error, CodeType, nil, "%s is a single value; it must be a list of entries with name and %s", path, field)
		return nil
	}
	var all []Variable
	seen := map[string]int{}
	for _, item := range n.Content[:min(len(n.Content), maxEntries)] {
		v, ok := p.variable(item, n, path, field)
		if !ok {
			continue
		}
		if e.merged || e.value.Kind == yaml.AliasNode {
			v.item = nil
		}
		p.checkVariable(v, path, field)
		if at, twice := seen[v.Name]; twice {
			p.report(v.item0(), Warning, CodeVariable, p.removeSameItem(v, all[at]), "%s has %s twice; the last one counts", path, p.quote(v.Name))
			all[at] = v.Variable
			continue
		}
		seen[v.Name] = len(all)
		all = append(all, v.Variable)
	}
	return all
}

func (v variable) item0() *yaml.Node {
	if v.item != nil {
		return v.item
	}
	return v.node
}

// removeSameItem removes an item that repeats an earlier one.
func (p *parser) removeSameItem(v variable, earlier Variable) *Fix {
	if v.Variable != earlier {
		return nil
	}
	return p.removeItem(v.item, v.list, "remove the second of two equal entries")
}

// variable reads one item of a list of variables.
func (p *parser) variable(item, in *yaml.Node, path, field string) (variable, bool) {
	n := resolve(item)
	v := variable{item: item, node: item, list: in}
	if item.Kind == yaml.AliasNode {
		v.item = nil
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return v, p.variableForm(item, n, path, field, &v)
	}
	entries := map[string]entry{}
	var unknown []entry
	for _, f := range p.fields(n, path, v.item == nil, 0) {
		if f.key.Value == "name" || f.key.Value == field {
			entries[f.key.Value] = f
		} else {
			unknown = append(unknown, f)
		}
	}
	if len(entries) == 0 && len(unknown) == 1 && plain(unknown[0].key.Value) != "key" {
		return v, p.singleKey(item, unknown[0], path, field, &v)
	}
	for _, u := range unknown {
		p.variableKey(u, entries, path, field)
	}
	name, hasName := entries["name"]
	value, hasValue := entries[field]
	if !hasName && len(entries)+len(unknown) == 0 {
		p.report(item, Error, CodeVariable, p.removeItem(v.item, in, "remove it"), "an entry of %s is empty; it must have name and %s", path, field)
		return v, false
	}
	if hasName {
		v.Name, hasName = p.scalar(name, path+": name")
	}
	if !hasName || v.Name == "" {
		p.report(item, Error, CodeVariable, nil, "an entry of %s has no name", path)
		return v, false
	}
	if !hasValue {
		if len(unknown) == 0 {
			p.report(item, Error, CodeVariable, p.addValue(v, n, field), "%s of %s has no %s", p.quote(v.Name), path, field)
		}
		return v, false
	}
	v.node = value.value
	return p.variableValue(v, item, value, path, field)
}

// variableValue reads the value of a variable.
func (p *parser) variableValue(v variable, item *yaml.Node, value entry, path, field string) (variable, bool) {
	if r := resolve(value.value); r != nil && isNull(r) {
		if field != "value" {
			p.report(item, Error, CodeVariable, nil, "%s of %s has an empty %s", p.quote(v.Name), path, field)
			return v, false
		}
		p.report(value.value, Warning, CodeNumber, p.replaceValue(value, `""`, `write ""`), "the value of %s is YAML's null; the variable is set to the empty text. Write \"\" for that", p.quote(v.Name))
		return v, true
	}
	var ok bool
	if v.Value, ok = p.scalar(value, path+": "+field+" of "+p.quote(v.Name)); !ok {
		return v, false
	}
	if field == "value" {
		p.secretValue(v)
	}
	p.number(value.value, "the value of "+p.quote(v.Name))
	return v, true
}

// variableKey handles a key that an entry does not have.
func (p *parser) variableKey(u entry, entries map[string]entry, path, field string) {
	key := u.key.Value
	target := ""
	switch w := plain(key); {
	case w == "key" || w == "names" || w == "variable" || nearest(key, []string{"name"}) != "":
		target = "name"
	case w == "value" || w == "val" || w == "values" || w == "valuefrom" || nearest(key, []string{"value", "value-from"}) != "" || w == "secret" || w == "from" || w == "arn":
		target = "value"
		if w == "valuefrom" || w == "from" || w == "secret" || w == "arn" || nearest(key, []string{"value-from"}) != "" && len(key) > 6 {
			target = "value-from"
		}
	}
	if path != "run.secrets" && target == "value-from" {
		p.report(u.key, Error, CodeMisplacedKey, nil, "%s is not a key of %s; a variable with the value of a secret belongs at run.secrets", p.quote(key), path)
		return
	}
	if path == "run.secrets" && target == "value" {
		target = "value-from"
	}
	if _, taken := entries[target]; target == "" || taken {
		p.report(u.key, Error, CodeUnknownKey, nil, "there is no key %s in an entry of %s; it has name and %s", p.quote(key), path, field)
		return
	}
	p.report(u.key, Error, CodeMisspeltKey, p.rename(u, target), "%s is not a key of an entry of %s; it is written %q", p.quote(key), path, target)
	entries[target] = u
}

var assignment = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(.*)$`)

// variableForm handles an item that is no mapping: "NAME=value".
func (p *parser) variableForm(item, n *yaml.Node, path, field string, v *variable) bool {
	if n != nil && n.Kind == yaml.ScalarNode {
		if m := assignment.FindStringSubmatch(n.Value); m != nil {
			v.Name, v.Value = m[1], m[2]
			p.report(item, Error, CodeVariable, p.splitAssignment(v, m[1], m[2], field), "an entry of %s is written NAME=value; it must have the keys name and %s", path, field)
			return true
		}
		if isNull(n) {
			p.report(item, Error, CodeVariable, p.removeItem(v.item, v.list, "remove it"), "an entry of %s is empty; it must have name and %s", path, field)
			return false
		}
	}
	p.report(item, Error, CodeVariable, nil, "an entry of %s is %s; it must be a mapping with name and %s", path, kindOf(n), field)
	return false
}

// singleKey handles an item "- NAME: value".
func (p *parser) singleKey(item *yaml.Node, e entry, path, field string, v *variable) bool {
	v.Name, v.node = e.key.Value, e.value
	value, ok := p.scalar(e, path+": the value of "+p.quote(v.Name))
	v.Value = value
	fix := p.nameAndValue(e, field, "")
	if v.item == nil {
		fix = nil
	}
	p.report(item, Error, CodeVariable, fix, "an entry of %s is written as %s with its value; it must have the keys name and %s", path, p.quote(v.Name), field)
	return ok
}

// variablesOfMap reads variables that are written as a mapping.
func (p *parser) variablesOfMap(e entry, n *yaml.Node, path, field string) []Variable {
	var all []Variable
	var fix *Fix
	entries := p.fields(n, path, e.merged, 0)
	if !e.merged && e.value.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle == 0 {
		fix = &Fix{Title: "write it as a list of name and " + field}
	}
	if len(entries) == 2 && (entries[0].key.Value == "name" || entries[1].key.Value == "name") {
		p.report(e.value, Error, CodeType, nil, "%s is one entry; it must be a list of entries, each with a dash: `- name: ...`", path)
		return nil
	}
	for _, f := range entries {
		value, ok := p.scalar(f, path+"."+f.key.Value)
		if !ok && !isNull(f.value) {
			fix = nil
			continue
		}
		all = append(all, Variable{f.key.Value, value})
		if one := p.nameAndValue(f, field, "- "); fix != nil && one != nil && !f.merged {
			fix.Edits = append(fix.Edits, one.Edits...)
		} else {
			fix = nil
		}
	}
	p.report(e.value, Error, CodeType, sortEdits(fix), "%s is a mapping; it must be a list of entries with name and %s", path, field)
	for _, v := range all {
		p.checkVariable(variable{Variable: v, node: e.value}, path, field)
	}
	return all
}

// checkVariable reports names and values that App Runner refuses.
func (p *parser) checkVariable(v variable, path, field string) {
	switch {
	case strings.ContainsAny(v.Name, "=\x00"):
		p.report(v.item0(), Error, CodeVariable, nil, "the name %s of %s has a character that a variable's name can't have", p.quote(v.Name), path)
	case strings.HasPrefix(strings.ToUpper(v.Name), "AWSAPPRUNNER"):
		p.report(v.item0(), Error, CodeVariable, nil, "the name %s of %s is reserved: App Runner refuses names that begin with AWSAPPRUNNER", p.quote(v.Name), path)
	case strings.TrimSpace(v.Name) != v.Name || strings.ContainsAny(v.Name, " \t\n"):
		p.report(v.item0(), Error, CodeVariable, nil, "the name %s of %s has spaces", p.quote(v.Name), path)
	}
	if field == "value-from" {
		p.secretReference(v)
	}
}

// withoutPort takes the variable PORT out of run.env: network.port decides it.
func (p *parser) withoutPort(e entry, all []Variable) []Variable {
	var kept []Variable
	for _, v := range all {
		if v.Name != "PORT" {
			kept = append(kept, v)
			continue
		}
		port := DefaultPort
		if p.file.Port != 0 {
			port = p.file.Port
		}
		item, in := p.itemNamed(e, "PORT")
		fix := p.removeItem(item, in, "remove it")
		if p.file.Port == 0 && validPort(v.Value) && v.Value != strconv.Itoa(DefaultPort) {
			p.file.Port, _ = strconv.Atoi(v.Value)
			p.report(cmp.Or(item, e.key), Warning, CodePortVariable, p.portInstead(fix, v.Value), "run.env has PORT, which App Runner sets itself to run.network.port and refuses as a variable; %s is taken for run.network.port, write it there", v.Value)
			continue
		}
		advice := "remove it"
		if v.Value != strconv.Itoa(port) {
			advice = "to listen on another port, set run.network.port"
		}
		p.report(cmp.Or(item, e.key), Warning, CodePortVariable, fix, "run.env has PORT, which App Runner sets itself to run.network.port, here %d, and refuses as a variable; %s", port, advice)
	}
	return kept
}

// portInstead removes the variable PORT and sets run.network.port.
func (p *parser) portInstead(remove *Fix, port string) *Fix {
	if remove == nil {
		return nil
	}
	add := p.addKey("run.network", "port: "+port)
	if _, there := p.get("run.network"); !there {
		add = p.addKey("run", "network:", "  port: "+port)
	}
	if add == nil {
		return nil
	}
	cut, lines := remove.Edits[0], add.Edits[0]
	edits := []Edit{cut, lines}
	if lines.Start == cut.End { // the entry is the last of the file
		edits = []Edit{{Start: cut.Start, End: cut.End, Text: strings.TrimPrefix(lines.Text, p.text.nl)}}
	}
	return sortEdits(&Fix{Title: "set run.network.port in its place", Edits: edits})
}

// itemNamed returns the item of a list of variables with a name.
func (p *parser) itemNamed(e entry, name string) (item, in *yaml.Node) {
	if e.merged || e.value.Kind != yaml.SequenceNode {
		return nil, nil
	}
	for _, item := range e.value.Content {
		if item.Kind != yaml.MappingNode {
			continue
		}
		for i := 0; i+1 < len(item.Content); i += 2 {
			if item.Content[i].Value == "name" && item.Content[i+1].Value == name {
				return item, e.value
			}
		}
	}
	return nil, nil
}

// named returns the entry of a list of variables with a name, for findings; the list's
// key when it isn't found.
func (p *parser) named(path, name string) *yaml.Node {
	e, _ := p.get(path)
	list := resolve(e.value)
	if list == nil || list.Kind != yaml.SequenceNode || e.merged {
		return e.key
	}
	for _, item := range list.Content[:min(len(list.Content), maxEntries)] {
		n := resolve(item)
		if n == nil || n.Kind != yaml.MappingNode {
			continue
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "name" && n.Content[i+1].Value == name {
				return item
			}
		}
	}
	return e.key
}

// checkNames reports variables that are both in env and in secrets.
func (p *parser) checkNames() {
	for _, s := range p.file.Secrets {
		for _, v := range p.file.Env {
			if s.Name == v.Name {
				p.report(p.named("run.secrets", s.Name), Error, CodeVariable, nil, "%s is in run.env and in run.secrets; keep one of them", p.quote(s.Name))
			}
		}
	}
}

var (
	readAsNumber = regexp.MustCompile(`^[-+]?(?:0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|0[0-9_]+|[0-9][0-9_]*_[0-9_]*|[0-9]+(?::[0-5]?[0-9])+|[0-9]*\.[0-9]*0|[0-9.]+[eE][-+]?[0-9]+|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
	readAsBool   = regexp.MustCompile(`^(?:yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|True|TRUE|False|FALSE|y|Y|n|N)$`)
	allZeros     = regexp.MustCompile(`^0+$`)
)

// number warns of a scalar without quotes that readers of YAML change: 3.10 is 3.1,
// 0777 is 511 and yes is true for many of them.
func (p *parser) number(value *yaml.Node, what string) {
	n := resolve(value)
	if n == nil || n.Kind != yaml.ScalarNode || n.Style&^yaml.TaggedStyle != 0 || n.Tag == "!!str" && n.Style&yaml.TaggedStyle != 0 {
		return
	}
	v := n.Value
	kind := "another number"
	switch {
	case readAsBool.MatchString(v):
		kind = "true or false"
	case !readAsNumber.MatchString(v) || v == "0" || v == "." || allZeros.MatchString(v) && len(v) == 1:
		return
	}
	if f := trailingZero(v); f != "" {
		kind = f
	}
	e := entry{value: value}
	p.report(value, Warning, CodeNumber, p.replaceValue(e, quoted(v), "put it in quotes"), "%s is %s without quotes, which readers of YAML take for %s; here it stays as it is written. Write \"%s\"", what, p.redactor.Redact(v), kind, p.redactor.Redact(v))
}

var decimal = regexp.MustCompile(`^[0-9]+\.[0-9]*0$`)

// trailingZero returns what is left of a decimal number whose last digit is 0.
func trailingZero(v string) string {
	if !decimal.MatchString(v) {
		return ""
	}
	return strings.TrimSuffix(strings.TrimRight(v, "0"), ".")
}
