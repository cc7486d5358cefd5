package decompress_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/openslipway/slipway/internal/decompress"
)

// What the tools xz and bzip2 make of "hello, image\n".
const (
	helloXZ    = "/Td6WFoAAATm1rRGAgAhAQwAAACPmEGcAQAMaGVsbG8sIGltYWdlCgAAAAA0m6IWDdrp6gABJQ1xGcS2H7bzfQEAAAAABFla"
	helloBzip2 = "QlpoMTFBWSZTWbqZGdkAAAPRAAAQQAQi5qAAMQDTTQQAyaXSQJBKUeLuSKcKEhdTIzsg"
)

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func compressed(t testing.TB, plain []byte) map[decompress.Format][]byte {
	t.Helper()
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write(plain)
	w.Close()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return map[decompress.Format][]byte{
		decompress.None: plain, decompress.Gzip: gz.Bytes(), decompress.Zstd: z.EncodeAll(plain, nil),
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	const want = "hello, image\n"
	all := compressed(t, []byte(want))
	all[decompress.XZ], all[decompress.Bzip2] = unbase64(t, helloXZ), unbase64(t, helloBzip2)
	for format, packed := range all {
		inputs := map[string][]byte{want: packed}
		if format != decompress.None {
			inputs[want+want] = bytes.Repeat(packed, 2) // tools that compress in parallel write several
		}
		for want, packed := range inputs {
			r, err := decompress.NewReader(iotest.OneByteReader(bytes.NewReader(packed)))
			if err != nil {
				t.Fatalf("%q: %v", format, err)
			}
			got, err := io.ReadAll(r)
			r.Close()
			if string(got) != want || err != nil || r.Format != format {
				t.Errorf("%q read as %q: %q, %v", format, r.Format, got, err)
			}
		}
		if format == decompress.None {
			continue
		}
		for _, n := range []int{len(packed) - 5, len(packed) / 2} { // cut short
			if _, err := readAll(bytes.NewReader(packed[:n])); !errors.Is(err, decompress.ErrCorrupt) {
				t.Errorf("%q cut to %d of %d bytes: %v", format, n, len(packed), err)
			}
		}
		broken := errors.New("the disk is on fire")
		if _, err := readAll(io.MultiReader(bytes.NewReader(packed[:len(packed)-5]), iotest.ErrReader(broken))); !errors.Is(err, broken) || errors.Is(err, decompress.ErrCorrupt) {
			t.Errorf("%q of a reader that fails: %v", format, err)
		}
	}
	for _, plain := range []string{"", "x", "BZh9 notes.txt\x00", "BZ", "\xfd7zX"} {
		if got, err := readAll(strings.NewReader(plain)); string(got) != plain || err != nil {
			t.Errorf("%q: %q, %v", plain, got, err)
		}
	}
}

func readAll(r io.Reader) ([]byte, error) {
	d, err := decompress.NewReader(r)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return io.ReadAll(d)
}

// TestDictionary gives an xz header that asks for 4 GiB: more than a decoder may have.
func TestDictionary(t *testing.T) {
	t.Parallel()
	packed := unbase64(t, helloXZ)
	at := bytes.Index(packed, []byte{0x21, 0x01}) + 2
	packed[at] = 40                                     // the largest there is
	copy(packed[at+4:], []byte{0xe6, 0xa0, 0x11, 0xb3}) // the header's checksum
	if _, err := readAll(bytes.NewReader(packed)); !errors.Is(err, decompress.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

func TestLimited(t *testing.T) {
	t.Parallel()
	all := compressed(t, make([]byte, 1<<20))
	read := func(packed []byte, l decompress.Limit) error {
		r, err := decompress.NewReader(bytes.NewReader(packed))
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(io.Discard, r.Limited(l))
		return err
	}
	enough := decompress.Limit{Bytes: 1 << 20, Ratio: 1, Slack: 1 << 20}
	for format, packed := range all {
		if err := read(packed, enough); err != nil {
			t.Errorf("%q within its limit: %v", format, err)
		}
		if err := read(packed, decompress.Limit{Bytes: 1<<20 - 1, Ratio: 1, Slack: 1 << 20}); !errors.Is(err, decompress.ErrTooLarge) {
			t.Errorf("%q beyond its size: %v", format, err)
		}
		err := read(packed, decompress.Limit{Bytes: 1 << 20, Ratio: 10, Slack: 1 << 10})
		if want := format != decompress.None; errors.Is(err, decompress.ErrTooLarge) != want {
			t.Errorf("%q beyond its ratio: %v", format, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, packed := range compressed(f, []byte("hello, image\n")) {
		f.Add(packed)
	}
	f.Add(unbase64(f, helloXZ))
	f.Add(unbase64(f, helloBzip2))
	f.Fuzz(func(t *testing.T, packed []byte) {
		r, err := decompress.NewReader(bytes.NewReader(packed))
		if err != nil {
			return
		}
		defer r.Close()
		limit := decompress.Limit{Bytes: 1 << 20, Ratio: 1000, Slack: 1 << 10}
		n, err := io.Copy(io.Discard, r.Limited(limit))
		if n > limit.Bytes || err == nil && n > limit.Slack+limit.Ratio*int64(len(packed)+1) {
			t.Errorf("%d bytes became %d", len(packed), n)
		}
	})
}
