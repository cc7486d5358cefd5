package git

import (
	"bytes"
	"regexp"
	"strconv"
)

// messages reads git's standard error: progress goes on, all else is kept, the last
// maxStderr bytes of it.
type messages struct {
	progress func(line string)
	line     []byte
	text     bytes.Buffer
	last     string // phase and tenth that were passed on
}

// maxLine bounds a line of git's standard error.
const maxLine = 4 << 10

func (m *messages) Write(p []byte) (int, error) {
	for _, b := range p {
		switch {
		case b == '\n' || b == '\r':
			m.flush()
		case len(m.line) < maxLine:
			m.line = append(m.line, b)
		}
	}
	return len(p), nil
}

func (m *messages) flush() {
	line := m.line
	m.line = m.line[:0]
	if phase, percent, ok := parseProgress(line); ok {
		// A line for each tenth: git writes hundreds.
		if now := phase + strconv.Itoa(percent/10); now != m.last && m.progress != nil {
			m.last = now
			m.progress(phase + ": " + strconv.Itoa(percent) + "%")
		}
		return
	}
	if len(line) == 0 {
		return
	}
	m.text.Write(line)
	m.text.WriteByte('\n')
	if over := m.text.Len() - maxStderr; over > 0 {
		m.text.Next(over)
	}
}

var progressLine = regexp.MustCompile(`^(Receiving objects|Resolving deltas|Updating files): +([0-9]{1,3})% \(`)

// parseProgress reads a line as "Receiving objects:  45% (9/20)".
func parseProgress(line []byte) (phase string, percent int, ok bool) {
	m := progressLine.FindSubmatch(line)
	if m == nil {
		return "", 0, false
	}
	percent, err := strconv.Atoi(string(m[2]))
	return string(m[1]), percent, err == nil && percent <= 100
}
