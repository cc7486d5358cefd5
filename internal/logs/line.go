package logs

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxLine is the largest text of a line in bytes.
const MaxLine = 16 << 10

// maxRecord is larger than any encoded line: time, kind, two positions, text,
// spaces and newline.
const maxRecord = MaxLine + 128

// Line is one line of a stream.
type Line struct {
	Stream  string // name of its stream; set by Read, ignored by Append
	At      time.Time
	Kind    Kind
	Partial bool   // the text continues in the stream's next line of this kind
	Text    string // any bytes but a newline, at most MaxLine

	// Next is the position in the instance's output at which to continue after
	// this line. Pending is how many bytes before Next an unfinished line of
	// the other kind had begun; 0 when none had.
	Next, Pending int64
}

// Kind tells where a line came from.
type Kind byte

const (
	Stdout Kind = 'o'
	Stderr Kind = 'e'
	Notice Kind = 'n' // written by Slipway about the stream
)

// Printable returns the text with control characters and invalid UTF-8 escaped. A
// carriage return at its end is removed.
func (l Line) Printable() string {
	s := strings.TrimSuffix(l.Text, "\r")
	if printable(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\t' || unicode.IsPrint(r):
			b.WriteString(s[:n])
		case r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
		s = s[n:]
	}
	return b.String()
}

func printable(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' && c != '\t') || c >= 0x7f {
			return false
		}
	}
	return true
}

// timeForm has a fixed width, so that encoded times sort like the times.
const (
	timeForm  = "2006-01-02T15:04:05.000000000Z"
	timeWidth = len(timeForm)
)

// encode appends the line's record to b.
func (l Line) encode(b []byte) ([]byte, error) {
	if len(l.Text) > MaxLine || strings.IndexByte(l.Text, '\n') >= 0 {
		return b, fmt.Errorf("a line of %d bytes is longer than %d or holds a newline", len(l.Text), MaxLine)
	}
	b = appendTime(b, l.At)
	kind := byte(l.Kind)
	if l.Partial {
		kind -= 'a' - 'A'
	}
	b = append(b, ' ', kind, ' ')
	b = strconv.AppendInt(b, l.Next, 10)
	if l.Pending != 0 {
		b = append(b, '-')
		b = strconv.AppendInt(b, l.Pending, 10)
	}
	b = append(b, ' ')
	b = append(b, l.Text...)
	return append(b, '\n'), nil
}

func appendTime(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, timeForm)
}

var errRecord = errors.New("not a log record")

// parse reads a record without its newline.
func parse(record []byte) (Line, error) {
	var l Line
	if len(record) < timeWidth+5 || record[timeWidth] != ' ' || record[timeWidth+2] != ' ' {
		return l, errRecord
	}
	at, err := parseTime(record[:timeWidth])
	if err != nil {
		return l, err
	}
	l.At = at
	if kind := record[timeWidth+1]; kind >= 'A' && kind <= 'Z' {
		l.Partial, l.Kind = true, Kind(kind+'a'-'A')
	} else {
		l.Kind = Kind(kind)
	}
	if l.Kind != Stdout && l.Kind != Stderr && l.Kind != Notice {
		return l, errRecord
	}
	position, text, ok := bytes.Cut(record[timeWidth+3:], []byte{' '})
	if !ok || len(text) > MaxLine {
		return l, errRecord
	}
	next, pending, split := bytes.Cut(position, []byte{'-'})
	if l.Next, ok = parseCount(next); !ok {
		return l, errRecord
	}
	if split {
		if l.Pending, ok = parseCount(pending); !ok || l.Pending > l.Next {
			return l, errRecord
		}
	}
	l.Text = string(text)
	return l, nil
}

// parseTime is time.Parse for timeForm, several times faster.
func parseTime(b []byte) (time.Time, error) {
	for i := range timeWidth {
		if c := timeForm[i]; c >= '0' && c <= '9' {
			if b[i] < '0' || b[i] > '9' {
				return time.Time{}, errRecord
			}
		} else if b[i] != c {
			return time.Time{}, errRecord
		}
	}
	n := func(from, to int) int {
		v := 0
		for _, c := range b[from:to] {
			v = v*10 + int(c-'0')
		}
		return v
	}
	t := time.Date(n(0, 4), time.Month(n(5, 7)), n(8, 10), n(11, 13), n(14, 16), n(17, 19), n(20, 29), time.UTC)
	// time.Date normalizes values out of range; such a record is damaged.
	if t.Month() != time.Month(n(5, 7)) || t.Day() != n(8, 10) || t.Hour() != n(11, 13) || t.Minute() != n(14, 16) || t.Second() != n(17, 19) {
		return time.Time{}, errRecord
	}
	return t, nil
}

// parseCount reads digits.
func parseCount(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return int64(n), n <= math.MaxInt64
}
