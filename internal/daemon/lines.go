package daemon

import (
	"errors"

	"github.com/openslipway/slipway/internal/logs"
	"github.com/openslipway/slipway/internal/takeover"
)

// lineCost is what a line of an access log takes in a message besides its text, in bytes.
const lineCost = 128

// passLines has the heir write the lines of access logs that were added since this process
// can't.
func (r *routerRole) passLines(to *takeover.Conn) {
	for service, lines := range r.access.Leave() {
		for len(lines) > 0 {
			l, data := takeover.Log{Service: service}, []byte(nil)
			for len(lines) > 0 && (len(l.Lines) == 0 || len(data)+len(lines[0].Text)+(len(l.Lines)+1)*lineCost <= takeover.MaxData/2) {
				n := lines[0]
				l.Lines = append(l.Lines, takeover.LogLine{At: n.At, Bytes: len(n.Text), Lost: n.Lost, None: n.Text == nil})
				data, lines = append(data, n.Text...), lines[1:]
			}
			_ = to.Send(takeover.Logged, l, data, -1) // an heir that has ended writes nothing
		}
	}
}

// takeLines adds lines that the elder passes on.
func (r *routerRole) takeLines(m takeover.Message) error {
	m.Drop()
	var l takeover.Log
	if err := m.Into(&l); err != nil {
		return err
	}
	lines, data := make([]logs.AccessLine, 0, len(l.Lines)), m.Data
	for _, n := range l.Lines {
		if n.Bytes < 0 || n.Bytes > len(data) {
			return errors.New("the elder sent lines of an access log without all of their text")
		}
		line := logs.AccessLine{At: n.At, Lost: n.Lost}
		if !n.None {
			line.Text = data[:n.Bytes:n.Bytes]
		}
		lines, data = append(lines, line), data[n.Bytes:]
	}
	r.access.Join(l.Service, lines)
	return nil
}
