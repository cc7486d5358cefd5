package build

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/openslipway/slipway/internal/source/config"
)

// Line is one line of a build's log.
type Line struct {
	Phase Phase
	Text  string // valid UTF-8, without line ends and colours
}

// String returns the line as App Runner's logs have it: "[Build] text".
func (l Line) String() string { return "[" + string(l.Phase) + "] " + l.Text }

// App Runner's sentences.
const (
	sentenceStart  = "Starting to build your application source code."
	sentenceDone   = "Successfully built your application source code."
	sentenceAgain  = "Nothing has changed since an earlier build: its image is used again." // ours
	sentenceFailed = "Failed to build your application source code. Reason: "
)

// maxLine is the length of the longest line, in bytes. What is longer becomes several
// lines.
const maxLine = 8 << 10

// logger turns the output of commands into lines.
type logger struct {
	mu    sync.Mutex // guards what follows, and calls of out
	out   func(Line)
	mask  *strings.Replacer
	phase Phase
	part  []byte // of a line that has not ended
}

// minSecret is the length of the shortest text that is masked, in bytes: a shorter one
// is in many lines by chance.
const minSecret = 4

func newLogger(secrets []config.Variable, out func(Line)) *logger {
	var parts, masks []string
	for _, s := range secrets {
		for part := range strings.Lines(s.Value) { // the log has one line at a time
			if part = strings.TrimSpace(part); len(part) >= minSecret {
				parts = append(parts, part)
			}
		}
	}
	// Of two secrets, one may begin with the other.
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	for _, p := range parts {
		masks = append(masks, p, "***")
	}
	return &logger{out: out, mask: strings.NewReplacer(masks...), phase: PhaseService}
}

// say writes a line of the service itself.
func (l *logger) say(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end()
	for line := range strings.Lines(text) {
		l.emit(PhaseService, []byte(strings.TrimRight(line, "\r\n")))
	}
}

// begin says that what is written from now on comes from a phase.
func (l *logger) begin(p Phase) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end()
	l.phase = p
}

// write receives output of the phase that was begun last.
func (l *logger) write(data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			l.part = append(l.part, data...)
			l.cut()
			return
		}
		l.part = append(l.part, data[:i]...)
		data = data[i+1:]
		l.cut()
		l.emit(l.phase, l.part)
		l.part = l.part[:0]
	}
}

// cut writes the beginning of a line that is too long.
func (l *logger) cut() {
	for len(l.part) > maxLine {
		at := maxLine
		for at > maxLine-4 && l.part[at]&0xc0 == 0x80 { // in a character
			at--
		}
		l.emit(l.phase, l.part[:at])
		l.part = append(l.part[:0], l.part[at:]...)
	}
}

// end writes a line that has not ended.
func (l *logger) end() {
	if len(l.part) > 0 {
		l.emit(l.phase, l.part)
		l.part = l.part[:0]
	}
}

// colours are the escape sequences by which programs colour text and move the cursor.
var colours = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|[()][A-Z0-9]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?)")

// emit writes one line: of a progress bar, which overwrites itself, the last state.
func (l *logger) emit(p Phase, raw []byte) {
	raw = bytes.TrimRight(raw, "\r")
	if i := bytes.LastIndexByte(raw, '\r'); i >= 0 {
		raw = raw[i+1:]
	}
	text := strings.ToValidUTF8(string(colours.ReplaceAll(raw, nil)), "\uFFFD")
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	l.out(Line{p, l.mask.Replace(text)})
}
