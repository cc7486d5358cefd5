package handoff_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

func order() handoff.Order {
	return handoff.Order{
		Hostname: "f00d",
		Argv:     []string{"/app", "", "a b"},
		Env:      []string{"PORT=8080", "EMPTY="},
		Dir:      "/srv",
		User:     "web:log",
		Init:     true,
		Volumes:  []string{"/data/store"},
		Hosts:    "127.0.0.1 localhost\n",
		Resolv:   "nameserver 192.0.2.1\n",
		Caps:     1<<40 | 3,
		Filter:   bytes.Repeat([]byte{6, 0, 0, 0, 0, 0, 255, 127}, 4),
		Access:   0xffff,
		Scopes:   1<<63 | 3,
		Profile:  "slipway-instance",
	}
}

func skeleton() handoff.Skeleton {
	return handoff.Skeleton{
		Cgroups: []handoff.CgroupMount{{Name: "memory", Options: "memory"}, {Name: "unified"}},
		Shm:     64 << 20,
	}
}

func TestMessagesSurvive(t *testing.T) {
	t.Parallel()
	o, s := order(), skeleton()
	gotOrder, err := handoff.ParseOrder(o.Append(nil))
	if diff := cmp.Diff(o, gotOrder); diff != "" || err != nil {
		t.Errorf("order: %v\n%s", err, diff)
	}
	gotSkeleton, err := handoff.ParseSkeleton(s.Append(nil))
	if diff := cmp.Diff(s, gotSkeleton); diff != "" || err != nil {
		t.Errorf("skeleton: %v\n%s", err, diff)
	}
	begin := handoff.Begin{FirstID: 1 << 30, ShimID: 1<<31 - 1, OutputSize: 1 << 33}
	gotBegin, err := handoff.ParseBegin(begin.Append(nil))
	if gotBegin != begin || err != nil {
		t.Errorf("begin: %+v, %v", gotBegin, err)
	}
	spawn := handoff.Spawn{IntoCgroup: true}
	gotSpawn, err := handoff.ParseSpawn(spawn.Append(nil))
	if gotSpawn != spawn || err != nil {
		t.Errorf("spawn: %+v, %v", gotSpawn, err)
	}
	spawned := handoff.Spawned{PID: 1 << 21, Err: "no space left on device"}
	gotSpawned, err := handoff.ParseSpawned(spawned.Append(nil))
	if gotSpawned != spawned || err != nil {
		t.Errorf("spawned: %+v, %v", gotSpawned, err)
	}
	kind, size, err := handoff.ParseHeader(handoff.AppendHeader(nil, handoff.KindOrder, 123))
	if kind != handoff.KindOrder || size != 123 || err != nil {
		t.Errorf("header: %c, %d, %v", kind, size, err)
	}
}

// TestTruncated cuts messages short, and makes them longer, everywhere.
func TestTruncated(t *testing.T) {
	t.Parallel()
	o, s := order(), skeleton()
	for name, m := range map[string]struct {
		whole []byte
		parse func([]byte) error
	}{
		"order":    {o.Append(nil), func(b []byte) error { _, err := handoff.ParseOrder(b); return err }},
		"skeleton": {s.Append(nil), func(b []byte) error { _, err := handoff.ParseSkeleton(b); return err }},
	} {
		for n := range len(m.whole) {
			if m.parse(m.whole[:n]) == nil {
				t.Errorf("the first %d of %d bytes of %s were accepted", n, len(m.whole), name)
			}
		}
		if m.parse(append(m.whole[:len(m.whole):len(m.whole)], 0)) == nil {
			t.Errorf("%s was accepted with a byte after its end", name)
		}
	}
}

func TestHeaderTooLarge(t *testing.T) {
	t.Parallel()
	if _, _, err := handoff.ParseHeader(handoff.AppendHeader(nil, handoff.KindSkeleton, handoff.MaxBody+1)); err == nil {
		t.Error("a body over MaxBody was accepted")
	}
}

// file puts records where the shim writes them.
func file(started *handoff.Started, ended *handoff.Ended) []byte {
	b := make([]byte, handoff.StatusSize)
	if started != nil {
		copy(b[handoff.StartedAt:], started.Append(nil))
	}
	if ended != nil {
		copy(b[handoff.EndedAt:], ended.Append(nil))
	}
	return b
}

func TestStatus(t *testing.T) {
	t.Parallel()
	started := &handoff.Started{PID: 7, At: 1 << 60}
	ended := &handoff.Ended{Code: 137, Signal: 9, At: 1<<60 + 5, Ran: 5, Reason: "exec /app: no such file or directory"}
	for _, c := range []struct {
		started *handoff.Started
		ended   *handoff.Ended
	}{{nil, nil}, {started, nil}, {nil, ended}, {started, ended}} {
		gotStarted, gotEnded := handoff.ParseStatus(file(c.started, c.ended))
		if diff := cmp.Diff(c.started, gotStarted) + cmp.Diff(c.ended, gotEnded); diff != "" {
			t.Error(diff)
		}
	}
	long := &handoff.Ended{Reason: strings.Repeat("r", 10_000)}
	if _, got := handoff.ParseStatus(file(nil, long)); got == nil || len(got.Reason) != 2048 {
		t.Errorf("a reason of 10,000 bytes became %+v", got)
	}
}

// TestTornStatus cuts the file short, as a kill during the write may, and flips
// every bit: what is not whole must not count.
func TestTornStatus(t *testing.T) {
	t.Parallel()
	started := handoff.Started{PID: 7, At: 12345}
	ended := handoff.Ended{Code: 3, At: 99999, Ran: 44, Reason: "why"}
	whole := file(&started, &ended)
	size := handoff.EndedAt + len(ended.Append(nil))
	for n := range size {
		_, got := handoff.ParseStatus(whole[:n])
		if got != nil {
			t.Fatalf("the first %d bytes of %d hold an end: %+v", n, size, got)
		}
	}
	for bit := range 8 * size {
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		s, e := handoff.ParseStatus(b)
		if s != nil && *s != started || e != nil && *e != ended {
			t.Fatalf("with bit %d flipped: %+v, %+v", bit, s, e)
		}
	}
}

func FuzzParse(f *testing.F) {
	o, s := order(), skeleton()
	f.Add(o.Append(nil))
	f.Add(s.Append(nil))
	f.Add(file(&handoff.Started{PID: 1}, &handoff.Ended{Code: 1, Reason: "x"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		// Whatever is accepted must come out again as it went in.
		if o, err := handoff.ParseOrder(b); err == nil {
			if !bytes.Equal(o.Append(nil), b) {
				t.Errorf("order %x changed", b)
			}
		}
		if s, err := handoff.ParseSkeleton(b); err == nil {
			again, err := handoff.ParseSkeleton(s.Append(nil))
			if diff := cmp.Diff(s, again, cmpopts.EquateEmpty()); diff != "" || err != nil {
				t.Errorf("skeleton %x changed: %v %s", b, err, diff)
			}
		}
		if m, err := handoff.ParseBegin(b); err == nil && !bytes.Equal(m.Append(nil), b) {
			t.Errorf("begin %x changed", b)
		}
		handoff.ParseStatus(b)
		handoff.ParseHeader(b)
		handoff.ParseSpawn(b)
		handoff.ParseSpawned(b)
	})
}
