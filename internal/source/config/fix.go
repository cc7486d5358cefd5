package config

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// maxWork bounds the bytes that ApplyFixes reads again, and maxTries how often: a
// repair may show further mistakes, and some repairs are found not to help. Repairs
// that do not touch each other are tried at once, so real files need two or three.
const (
	maxWork  = 2 << 20
	maxTries = 1000

	maxTogether = 200 // repairs that are tried at once
)

// Fixed is the result of ApplyFixes.
type Fixed struct {
	Name    string    // of the file: FileName when it was nearly that
	Data    []byte    // the repaired text
	Applied []Finding // what was repaired, with the positions at that time
}

// ApplyFixes repairs a file until no fix is left that helps. Each repair is read again
// before it is kept: it must remove its finding and add no error, unless the text
// could not be read before. So the result is never worse than data. Repairing it again
// changes nothing, but for texts with very many mistakes, which are repaired in part.
func ApplyFixes(name string, data []byte) Fixed {
	out := Fixed{Name: name, Data: data}
	if len(data) > MaxSize {
		return out
	}
	_, findings := parse(name, data)
	for tries := min(maxTries, maxWork/(len(data)+1)+10); tries > 0; {
		next, ok := out.all(findings)
		tries--
		if !ok {
			next, ok = out.one(findings, &tries)
		}
		if !ok {
			break
		}
		findings = next
	}
	return out
}

// all makes all repairs that do not touch each other at once, if all of them help, and
// returns the findings after them.
func (out *Fixed) all(findings []Finding) ([]Finding, bool) {
	together := &Fix{}
	var applied []Finding
	errors := 0
	for _, f := range findings {
		if f.Fix == nil || hides(f.Code) {
			continue
		}
		if len(applied) == maxTogether {
			break
		}
		next := sortEdits(&Fix{Edits: append(slices.Clone(together.Edits), f.Fix.Edits...)})
		if next == nil && len(f.Fix.Edits) > 0 || touching(next) {
			continue
		}
		if next != nil {
			together.Edits = next.Edits
		}
		together.Name = cmp.Or(together.Name, f.Fix.Name)
		applied = append(applied, f)
		if f.Severity == Error {
			errors++
		}
	}
	if len(applied) < 2 {
		return nil, false
	}
	name, data := together.apply(out.Name, out.Data)
	_, after := parse(name, data)
	if len(data) > MaxSize || mistakes(after) > mistakes(findings)-len(applied) || count(after, "", Error) > count(findings, "", Error)-errors {
		return nil, false
	}
	out.Name, out.Data = name, data
	out.Applied = append(out.Applied, applied...)
	return after, true
}

// touching reports whether two edits of a fix insert at the same place, so that their
// order would matter.
func touching(f *Fix) bool {
	if f == nil {
		return false
	}
	for i := 1; i < len(f.Edits); i++ {
		if f.Edits[i].Start == f.Edits[i-1].Start {
			return true
		}
	}
	return false
}

// one makes the first repair that helps, and returns the findings after it.
func (out *Fixed) one(findings []Finding, tries *int) ([]Finding, bool) {
	for _, f := range findings {
		if f.Fix == nil || *tries <= 0 {
			continue
		}
		*tries--
		name, data := f.Fix.apply(out.Name, out.Data)
		if len(data) > MaxSize {
			continue
		}
		_, after := parse(name, data)
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
		(errors < errorsBefore || errors == errorsBefore && mistakes(after) < mistakes(before))
}

// mistakes counts the findings but those that only say that something goes beyond App
// Runner: a repair may show one.
func mistakes(findings []Finding) int {
	return len(findings) - count(findings, CodeRuntimeBeyond, "")
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
