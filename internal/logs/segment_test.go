package logs

import (
	"bytes"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// memory is a file of a fuzz test.
type memory struct {
	*bytes.Reader
	info fs.FileInfo
}

func newMemory(t testing.TB, data []byte) *memory {
	info, err := fstest.MapFS{"f": {Data: data}}.Stat("f")
	if err != nil {
		t.Fatal(err)
	}
	return &memory{bytes.NewReader(data), info}
}

func (m *memory) Stat() (fs.FileInfo, error) { return m.info, nil }
func (m *memory) Close() error               { return nil }

// record encodes one line.
func record(t testing.TB, l Line) []byte {
	b, err := l.encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// walk reads c in both directions and from the middle. All must end, and both
// directions must find the same lines.
func walk(t *testing.T, c content) {
	t.Helper()
	var forth int
	for off := int64(0); ; {
		lines, next, err := c.block(off)
		if err != nil {
			return // a damaged frame is only an error
		}
		if len(lines) == 0 {
			break
		}
		if next <= off {
			t.Fatalf("block from %d goes on at %d", off, next)
		}
		if lines[len(lines)-1] != '\n' && isPlain(c) {
			t.Fatalf("block from %d ends within a line", off)
		}
		forth += countLines(lines)
		off = next
	}
	end, err := c.end()
	if err != nil {
		t.Fatal(err)
	}
	back := 0
	for off := end; off > 0; {
		lines, first, err := c.blockBefore(off)
		if err != nil {
			return
		}
		if len(lines) > 0 && first >= off {
			t.Fatalf("block before %d begins at %d", off, first)
		}
		if len(lines) == 0 {
			break
		}
		back += countLines(lines)
		off = first
	}
	if forth != back {
		t.Fatalf("%d lines forwards and %d backwards", forth, back)
	}
	if _, _, err := lastLines(c); err != nil {
		t.Fatal(err)
	}
	if off, err := c.seek([]byte("2020-06-01T00:00:00.000000000Z")); err != nil || off < 0 || off > end {
		t.Fatalf("seek returned %d (%v) of %d", off, err, end)
	}
}

func isPlain(c content) bool { _, ok := c.(*plainContent); return ok }

func countLines(b []byte) int {
	n := 0
	for r := range bytes.Lines(b) {
		if _, err := parse(bytes.TrimSuffix(r, []byte{'\n'})); err == nil {
			n++
		}
	}
	return n
}

func FuzzPlainSegment(f *testing.F) {
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	good := append(record(f, Line{At: at, Kind: Stdout, Text: "hello", Next: 6}), record(f, Line{At: at, Kind: Stderr, Partial: true, Text: "x", Next: 8, Pending: 1})...)
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add(append(make([]byte, 200<<10), good...))
	f.Add(bytes.Repeat(good, 3000))
	f.Add(append(bytes.Repeat([]byte("no newline "), 30000), good...))
	f.Add([]byte("\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		walk(t, &plainContent{f: newMemory(t, data)})
	})
}

func FuzzSealedSegment(f *testing.F) {
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, n := range []int{0, 1, 5000} {
		f.Add(sealedBytes(f, bytes.Repeat(record(f, Line{At: at, Kind: Stdout, Text: "hello", Next: 6}), n)))
	}
	// An index that claims more than the file has.
	f.Add(indexFrame(bytes.Repeat([]byte{0xff}, 3*entryBytes)))
	f.Add([]byte(footerMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := newSealedContent(bytes.NewReader(data), int64(len(data)), io.NopCloser(nil))
		if err != nil {
			return
		}
		defer c.Close()
		walk(t, c)
	})
}

// sealedBytes returns the sealed form of a plain segment.
func sealedBytes(t testing.TB, plain []byte) []byte {
	var out bytes.Buffer
	if _, err := writeSealed(&plainContent{f: newMemory(t, plain)}, &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("2020-01-01T00:00:00.000000000Z o 12-3 text"))
	f.Add([]byte("2020-02-30T00:00:00.000000000Z E 9223372036854775807 "))
	f.Add([]byte("2020-01-01T00:00:00.000000000Z n 99999999999999999999 x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parse(data)
		if err != nil || strings.Contains(l.Text, "\n") {
			return
		}
		b, err := l.encode(nil)
		if err != nil {
			t.Fatalf("%q parses and does not encode: %v", data, err)
		}
		again, err := parse(b[:len(b)-1])
		if err != nil || again != l {
			t.Fatalf("%q became %+v (%v) from %+v", data, again, err, l)
		}
	})
}

// TestSeek compares the binary search with a linear one.
func TestSeek(t *testing.T) {
	t.Parallel()
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	var plain []byte
	var times []time.Time
	for i := range 9000 {
		times = append(times, at)
		plain = append(plain, record(t, Line{At: at, Kind: Stdout, Text: strings.Repeat("x", i%100)})...)
		if i%50 == 0 {
			at = at.Add(time.Second) // many lines of one time
		}
	}
	sealed := sealedBytes(t, plain)
	packed, err := newSealedContent(bytes.NewReader(sealed), int64(len(sealed)), io.NopCloser(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []content{&plainContent{f: newMemory(t, plain)}, packed} {
		for i := 0; i < len(times); i += 777 {
			for _, since := range []time.Time{times[i].Add(-1), times[i], times[i].Add(1)} {
				off, err := c.seek(appendTime(nil, since))
				if err != nil {
					t.Fatal(err)
				}
				for r := range bytes.Lines(plain[:off]) {
					if l, err := parse(r[:len(r)-1]); err != nil || !l.At.Before(since) {
						t.Fatalf("%T: seek to %v passed over a line of %v (%v)", c, since, l.At, err)
					}
				}
				if far := off + 2*blockBytes; far < int64(len(plain)) {
					_, rest, _ := bytes.Cut(plain[far:], []byte{'\n'})
					if record, _, ok := bytes.Cut(rest, []byte{'\n'}); ok {
						if l, err := parse(record); err != nil || l.At.Before(since) {
							t.Errorf("%T: seek to %v stopped more than two blocks before it (%v)", c, since, err)
						}
					}
				}
			}
		}
	}
}
