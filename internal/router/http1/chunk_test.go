package http1

import (
	"bytes"
	"fmt"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

// feed parses b and returns the data, how many bytes belong to the body, and whether it is
// complete.
func (c *ChunkScanner) feed(b []byte) (data []byte, n int, done bool, err error) {
	for n < len(b) && !done && err == nil {
		var d []byte
		var k int
		d, k, done, err = c.Next(b[n:])
		data = append(data, d...)
		n += k
	}
	return data, n, done, err
}

func TestChunks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in string
		n        int  // bytes that belong to the body
		done, ok bool // ok: no error
	}{
		{"empty", "0\r\n\r\nGET", 5, true, true},
		{"two", "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", 28, true, true},
		{"leading zeros", "003\r\nabc\r\n0\r\n\r\n", 15, true, true},
		{"extension", "3;a=\"b;c\"\r\nabc\r\n0;x\r\n\r\n", 23, true, true},
		{"trailer", "0\r\nX-Sum: 1\r\nX-B:\r\n\r\n", 21, true, true},
		{"unfinished", "3\r\nab", 5, false, true},

		{"no size", "\r\nabc\r\n", 0, false, false},
		{"negative", "-3\r\nabc\r\n", 0, false, false},
		{"plus", "+3\r\nabc\r\n", 0, false, false},
		{"prefix", "0x3\r\nabc\r\n", 1, false, false},
		{"space before", " 3\r\nabc\r\n", 0, false, false},
		{"space after", "3 \r\nabc\r\n", 1, false, false},
		{"bare LF", "3\nabc\r\n", 1, false, false},
		{"CR without LF", "3\rabc", 2, false, false},
		{"LF in extension", "3;a\nb\r\nabc", 3, false, false},
		{"NUL in extension", "3;\x00\r\nabc", 2, false, false},
		{"too many digits", "0000000000000003\r\nabc", 15, false, false},
		{"too long an extension", "3;" + strings.Repeat("a", maxChunkExt+1), maxChunkExt + 2, false, false},
		{"data too long", "3\r\nabcd\r\n", 6, false, false},
		{"data without CRLF", "3\r\nabc0\r\n\r\n", 6, false, false},
		{"data with bare LF", "3\r\nabc\n0\r\n\r\n", 6, false, false},
		{"trailer folded", "0\r\nA: b\r\n c\r\n\r\n", 9, false, false},
		{"trailer no colon", "0\r\nA\r\n\r\n", 4, false, false},
		{"trailer space before colon", "0\r\nA : b\r\n\r\n", 4, false, false},
		{"trailer bare LF", "0\r\nA: b\n\r\n", 7, false, false},
		{"trailer too long", "0\r\nA: " + strings.Repeat("a", maxTrailer), maxTrailer + 3, false, false},
	} {
		var s ChunkScanner
		_, n, done, err := s.feed([]byte(c.in))
		if n != c.n || done != c.done || (err == nil) != c.ok {
			t.Errorf("%s: %d, %v, %v; want %d, %v, ok %v", c.name, n, done, err, c.n, c.done, c.ok)
		}
	}
}

// Everything that passes is understood by net/http's reader and ends at the
// same place, however it is split.
func FuzzChunks(f *testing.F) {
	for _, s := range []string{"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\nGET", "3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n", "f\r\n", "3\nabc\n0\n\n"} {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		var s ChunkScanner
		want, n, done, err := s.feed(in)
		var p ChunkScanner
		var got []byte
		m, pdone := 0, false
		var perr error
		for m < len(in) && !pdone && perr == nil {
			var k int
			var d []byte
			d, k, pdone, perr = p.feed(in[m:min(len(in), m+int(step)+1)])
			got = append(got, d...)
			m += k
		}
		if m != n || pdone != done || (perr == nil) != (err == nil) {
			t.Fatalf("at once: %d, %v, %v; in pieces: %d, %v, %v", n, done, err, m, pdone, perr)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("at once %q, in pieces %q", want, got)
		}
		if !done {
			return
		}
		theirs, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(in[:n])))
		if err != nil || !bytes.Equal(theirs, want) {
			t.Fatalf("net/http reads %q, %v; we %q", theirs, err, want)
		}
	})
}

// A lenient scanner reads what a strict one reads, to the same end, and what only it accepts
// ends a line with a bare LF or has white space after a size.
func FuzzLenientChunks(f *testing.F) {
	for _, s := range []string{"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\nGET", "3 \nabc\n0\t;a\nX: y\n\n", "3;a\r\nabc\r\n0\r\nX: y\n\r\n"} {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		strict, lenient := ChunkScanner{}, ChunkScanner{Lenient: true}
		sdata, sn, sdone, serr := strict.feed(in)
		ldata, ln, ldone, lerr := lenient.feed(in)
		if serr == nil && (lerr != nil || sn != ln || sdone != ldone || !bytes.Equal(sdata, ldata)) {
			t.Fatalf("strict: %q, %d, %v; lenient: %q, %d, %v, %v", sdata, sn, sdone, ldata, ln, ldone, lerr)
		}
		if serr == nil && sdone && fmt.Sprintf("%q", strict.Trailer()) != fmt.Sprintf("%q", lenient.Trailer()) {
			t.Fatalf("trailer %q, leniently %q", strict.Trailer(), lenient.Trailer())
		}
		pieces := ChunkScanner{Lenient: true}
		var got []byte
		n, done := 0, false
		var err error
		for n < len(in) && !done && err == nil {
			var d []byte
			var k int
			d, k, done, err = pieces.feed(in[n:min(len(in), n+int(step)+1)])
			got, n = append(got, d...), n+k
		}
		if n != ln || done != ldone || (err == nil) != (lerr == nil) || !bytes.Equal(got, ldata) {
			t.Fatalf("at once: %q, %d, %v, %v; in pieces: %q, %d, %v, %v", ldata, ln, ldone, lerr, got, n, done, err)
		}
		if !ldone {
			return
		}
		for _, x := range lenient.Trailer() {
			if !isToken(x.Name) || !isValue(x.Value) {
				t.Fatalf("trailer %q: %q passes", x.Name, x.Value)
			}
		}
		theirs, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(in[:ln])))
		if err == nil && !bytes.Equal(theirs, ldata) { // it refuses a bare LF
			t.Fatalf("net/http reads %q, %v; we %q", theirs, err, ldata)
		}
	})
}
