package step

import (
	"bytes"
	"strconv"
)

// separator begins and ends a mark.
const separator = 0x1e

// maxMark is the length of the longest mark, in bytes.
const maxMark = 48

// marks finds the marks in the output of a stage.
type marks struct {
	mark   string
	begin  func(command int)
	output func([]byte)

	held []byte // the beginning of what may be a mark
}

// write passes output on and calls begin for each mark in it.
func (m *marks) write(data []byte) {
	if len(m.held) > 0 {
		data = append(m.held, data...)
		m.held = nil
	}
	for len(data) > 0 {
		i := bytes.IndexByte(data, separator)
		if i < 0 {
			m.output(data)
			return
		}
		if i > 0 {
			m.output(data[:i])
			data = data[i:]
		}
		end := bytes.IndexByte(data[1:], separator) + 1
		if end == 0 && len(data) < maxMark {
			m.held = bytes.Clone(data)
			return
		}
		command, ok := m.parse(data[1:max(end, 1)])
		if !ok {
			m.output(data[:1])
			data = data[1:]
			continue
		}
		m.begin(command)
		data = data[end+1:]
	}
}

// parse reads what is between two separators.
func (m *marks) parse(text []byte) (command int, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte(m.mark+" "))
	if !ok {
		return 0, false
	}
	command, err := strconv.Atoi(string(rest))
	return command, err == nil && command >= 0
}

// flush passes on what was held.
func (m *marks) flush() {
	if len(m.held) > 0 {
		m.output(m.held)
		m.held = nil
	}
}
