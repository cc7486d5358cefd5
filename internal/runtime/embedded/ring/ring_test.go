package ring_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime/embedded/ring"
)

// rig is a ring in a test's directory.
type rig struct {
	*testing.T
	files  [2]*os.File
	writer *ring.Writer
	reader *ring.Reader
	at     int64 // time of the last frame
}

func newRig(t *testing.T, size int64) *rig {
	t.Helper()
	r := &rig{T: t}
	dir := t.TempDir()
	for i := range r.files {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		r.files[i] = f
	}
	w, err := ring.NewWriter(int(r.files[0].Fd()), int(r.files[1].Fd()), size)
	if err != nil {
		t.Fatal(err)
	}
	r.writer = w
	r.reader = ring.NewReader([2]io.ReaderAt{r.files[0], r.files[1]})
	return r
}

func (r *rig) write(data string, stderr bool) {
	r.Helper()
	r.at++
	if err := r.writer.Append(copy(r.writer.Space(), data), stderr, r.at); err != nil {
		r.Fatal(err)
	}
}

// read reads to the end.
func (r *rig) read(from int64, most int) (all []ring.Chunk, next int64) {
	r.Helper()
	for {
		chunks, next, err := r.reader.Read(from, most)
		if err != nil {
			r.Fatal(err)
		}
		if len(chunks) == 0 {
			return all, next
		}
		all, from = append(all, chunks...), next
	}
}

func text(chunks []ring.Chunk) string {
	var b strings.Builder
	for _, c := range chunks {
		b.Write(c.Data)
	}
	return b.String()
}

func TestReadBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, ring.MinSize)
	if chunks, next := r.read(0, 10); chunks != nil || next != 0 {
		t.Errorf("an empty ring reads as %v up to %d", chunks, next)
	}
	r.write("one", false)
	r.write("two!", true)
	r.write("three", false)
	whole := "onetwo!three"
	chunks, next := r.read(0, 1<<20)
	if len(chunks) != 3 || text(chunks) != whole || next != 12 {
		t.Fatalf("read %+v up to %d", chunks, next)
	}
	if c := chunks[1]; c.Pos != 3 || c.At != 2 || !c.Stderr || chunks[0].Stderr {
		t.Errorf("second chunk is %+v", c)
	}
	for from := range len(whole) + 1 {
		for most := 1; most < len(whole)+2; most++ {
			chunks, next := r.read(int64(from), most)
			if text(chunks) != whole[from:] || next != int64(len(whole)) {
				t.Errorf("from %d, %d at a time: %q up to %d", from, most, text(chunks), next)
			}
			if len(chunks) > 0 && chunks[0].Pos != int64(from) {
				t.Errorf("from %d the first chunk is at %d", from, chunks[0].Pos)
			}
		}
	}
	r.write("four", false)
	if chunks, _ := r.read(12, 1); text(chunks) != "four" {
		t.Errorf("what came after the end reads as %q", text(chunks))
	}
	if chunks, next := r.read(1000, 1); chunks != nil || next != 1000 {
		t.Errorf("from beyond the end: %v up to %d", chunks, next)
	}
}

// TestBounded writes many times what fits, and checks after each frame that
// the newest part can be read, and that the files stay within their size.
func TestBounded(t *testing.T) {
	t.Parallel()
	const size = ring.MinSize + 1000
	r := newRig(t, size)
	var written bytes.Buffer
	rnd := rand.New(rand.NewPCG(1, 2))
	follow := int64(0)
	for n := range 200 {
		data := make([]byte, 1+rnd.IntN(ring.MaxData))
		for i := range data {
			data[i] = byte(i ^ n)
		}
		r.write(string(data), rnd.IntN(2) == 0)
		written.Write(data)
		end := int64(written.Len())

		// A reader that follows misses nothing.
		chunks, next := r.read(follow, 1<<20)
		if next != end || text(chunks) != string(written.Bytes()[follow:]) {
			t.Fatalf("from %d to %d the follower read %d bytes up to %d", follow, end, len(text(chunks)), next)
		}
		follow = next

		// Another one, from the beginning, finds what is left.
		other := ring.NewReader([2]io.ReaderAt{r.files[0], r.files[1]})
		chunks, next, err := other.Read(0, 1<<30)
		if err != nil || next != end {
			t.Fatalf("read all: up to %d of %d, %v", next, end, err)
		}
		if first := chunks[0].Pos; text(chunks) != string(written.Bytes()[first:]) || end-first < min(end, size/2) {
			t.Fatalf("of %d bytes what is kept from %d on is wrong or too little", end, first)
		}
		for _, f := range r.files {
			if fi, err := f.Stat(); err != nil || fi.Size() > size {
				t.Fatalf("a file has %v, %v", fi.Size(), err)
			}
		}
	}
}

// TestWhileWriting reads while another goroutine writes as fast as it can.
func TestWhileWriting(t *testing.T) {
	t.Parallel()
	r := newRig(t, ring.MinSize)
	const lines = 60_000
	line := func(pos int64) string { return fmt.Sprintf("%063d\n", pos) }
	var writing sync.WaitGroup
	done := make(chan struct{})
	writing.Go(func() {
		defer close(done)
		for n := int64(0); n < lines; {
			space := r.writer.Space()
			size := 0
			for k := n % 40; k >= 0 && n < lines; k-- {
				size += copy(space[size:], line(n*64))
				n++
			}
			if err := r.writer.Append(size, false, n); err != nil {
				t.Error(err)
			}
		}
	})
	defer writing.Wait()
	for from, ended := int64(0), false; ; {
		chunks, next, err := r.reader.Read(from, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range chunks {
			if c.Pos < from || c.Pos%64 != 0 || len(c.Data)%64 != 0 {
				t.Fatalf("from %d came %d bytes at %d", from, len(c.Data), c.Pos)
			}
			for i := 0; i < len(c.Data); i += 64 {
				if want := line(c.Pos + int64(i)); string(c.Data[i:i+64]) != want {
					t.Fatalf("at %d is %q", c.Pos+int64(i), c.Data[i:i+64])
				}
			}
			from = c.Pos + int64(len(c.Data))
		}
		if next < from {
			t.Fatalf("read up to %d and goes on at %d", from, next)
		}
		from = next
		if ended && len(chunks) == 0 {
			break
		}
		select {
		case <-done:
			ended = true
		default:
		}
	}
	if chunks, next := r.read(lines*64-64, 1); text(chunks) != line(lines*64-64) || next != lines*64 {
		t.Errorf("the last line is %q, up to %d", text(chunks), next)
	}
}

// TestCutShort takes bytes from the end, as a kill during a write does: the
// last frame is gone, those before are there.
func TestCutShort(t *testing.T) {
	t.Parallel()
	r := newRig(t, ring.MinSize)
	r.write("kept", false)
	before, err := r.files[0].Stat()
	if err != nil {
		t.Fatal(err)
	}
	r.write("torn", false)
	after, err := r.files[0].Stat()
	if err != nil {
		t.Fatal(err)
	}
	for size := after.Size() - 1; size >= before.Size(); size-- {
		if err := r.files[0].Truncate(size); err != nil {
			t.Fatal(err)
		}
		fresh := ring.NewReader([2]io.ReaderAt{r.files[0], r.files[1]})
		chunks, next, err := fresh.Read(0, 1<<20)
		if err != nil || text(chunks) != "kept" || next != 4 {
			t.Errorf("cut to %d bytes: %q up to %d, %v", size, text(chunks), next, err)
		}
		tail, err := ring.Tail(r.files[0], r.files[1], 100)
		if err != nil || string(tail) != "kept" {
			t.Errorf("cut to %d bytes the tail is %q, %v", size, tail, err)
		}
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	r := newRig(t, ring.MinSize)
	if tail, err := ring.Tail(r.files[0], r.files[1], 10); len(tail) > 0 || err != nil {
		t.Errorf("an empty ring ends with %q, %v", tail, err)
	}
	var all strings.Builder
	for i := range 300 { // several turns
		s := strings.Repeat(fmt.Sprintf("%d,", i), 200)
		r.write(s, i%2 == 0)
		all.WriteString(s)
		for _, most := range []int{0, 1, 7, 2048} {
			tail, err := ring.Tail(r.files[0], r.files[1], most)
			want := all.String()[max(0, all.Len()-most):]
			if err != nil || string(tail) != want {
				t.Fatalf("after %d frames the last %d bytes are %.50q, want %.50q (%v)", i, most, tail, want, err)
			}
		}
	}
}

// TestFullDisk writes into a file system that is too small: what does not fit
// shows as a gap, and what comes later can be read.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounts a small file system: needs root")
	}
	t.Parallel()
	files := smallFiles(t)
	w, err := ring.NewWriter(int(files[0].Fd()), int(files[1].Fd()), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var lost, kept int
	for i := range 200 {
		space := w.Space()
		for j := range 5000 {
			space[j] = byte(i)
		}
		if err := w.Append(5000, false, int64(i)); err == nil {
			kept++
		} else if errors.Is(err, unix.ENOSPC) {
			lost++
		} else {
			t.Fatal(err)
		}
	}
	if kept < 150 {
		t.Errorf("%d frames were kept and %d lost, though there is room for the newest", kept, lost)
	}
	r := ring.NewReader([2]io.ReaderAt{files[0], files[1]})
	chunks, next, err := r.Read(0, 1<<30)
	if err != nil || len(chunks) == 0 || next != 200*5000 {
		t.Fatalf("%d chunks up to %d, %v", len(chunks), next, err)
	}
	before := int64(0)
	for _, c := range chunks {
		if len(c.Data) != 5000 || c.Data[0] != byte(c.Pos/5000) || c.Data[4999] != c.Data[0] {
			t.Errorf("at %d are %d bytes of frame %d", c.Pos, len(c.Data), c.Data[0])
		}
		if missing := c.Pos > before; missing && !c.Full {
			t.Errorf("%d bytes before %d are missing, and it is not said that the disk was full", c.Pos-before, c.Pos)
		}
		before = c.Pos + int64(len(c.Data))
	}
}

// smallFiles returns two files in a file system of 64 KiB that is mounted
// nowhere.
func smallFiles(t *testing.T) (files [2]*os.File) {
	t.Helper()
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "size", "64k"); err != nil {
		t.Fatal(err)
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		t.Fatal(err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(mount) })
	for i := range files {
		fd, err := unix.Openat(mount, fmt.Sprint(i), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = os.NewFile(uintptr(fd), fmt.Sprint(i))
		t.Cleanup(func() { files[i].Close() })
	}
	return files
}

func TestTooSmall(t *testing.T) {
	t.Parallel()
	if _, err := ring.NewWriter(-1, -1, ring.MinSize-1); err == nil {
		t.Error("files too small for a frame were accepted")
	}
}

// TestAppendAllocatesNothing matters because a shim never collects garbage.
func TestAppendAllocatesNothing(t *testing.T) {
	r := newRig(t, ring.MinSize)
	if n := testing.AllocsPerRun(100, func() {
		if err := r.writer.Append(5000, false, 1); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("appending a frame allocates %v times", n)
	}
}

// FuzzRead reads files of any content: it must neither fail to end nor return
// what a ring cannot hold.
func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	var seed [2][]byte
	func() {
		var files [2]*os.File
		for i := range files {
			file, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
			if err != nil {
				f.Fatal(err)
			}
			defer file.Close()
			files[i] = file
		}
		w, err := ring.NewWriter(int(files[0].Fd()), int(files[1].Fd()), ring.MinSize)
		if err != nil {
			f.Fatal(err)
		}
		for i := range 30 {
			w.Append(3000, i%2 == 0, int64(i))
		}
		for i := range files {
			seed[i], _ = os.ReadFile(files[i].Name())
		}
	}()
	f.Add(seed[0], seed[1], int64(0))
	f.Add(seed[0][:100], seed[1][:50], int64(5))
	f.Fuzz(func(t *testing.T, a, b []byte, from int64) {
		r := ring.NewReader([2]io.ReaderAt{bytes.NewReader(a), bytes.NewReader(b)})
		for range 10 {
			chunks, next, err := r.Read(from, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if next < from {
				t.Fatalf("read from %d and goes on at %d", from, next)
			}
			for _, c := range chunks {
				if c.Pos < from || len(c.Data) == 0 || len(c.Data) > ring.MaxData {
					t.Fatalf("from %d: a chunk of %d bytes at %d", from, len(c.Data), c.Pos)
				}
			}
			from = next
		}
		if tail, err := ring.Tail(bytes.NewReader(a), bytes.NewReader(b), 100); err != nil || len(tail) > 100 {
			t.Fatalf("the tail has %d bytes, %v", len(tail), err)
		}
	})
}

// Frames of one byte take far more memory than their data: they count.
func TestReadOfTinyFrames(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1<<20)
	for range 20_000 {
		r.write("x", false)
	}
	const most = 64 << 10
	chunks, next, err := r.reader.Read(0, most)
	if err != nil || len(chunks) == 0 || len(chunks) > most/64 || next != int64(len(chunks)) {
		t.Errorf("%d chunks up to %d, %v: want %d at most", len(chunks), next, err, most/64)
	}
	all, next := r.read(0, most)
	if len(all) != 20_000 || next != 20_000 {
		t.Errorf("%d chunks up to %d, want all 20000", len(all), next)
	}
}
