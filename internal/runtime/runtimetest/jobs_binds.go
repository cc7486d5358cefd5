package runtimetest

import (
	"io/fs"

	"github.com/openslipway/slipway/internal/runtime"
)

// A root file system of layers can be bound, whole or in part, and what is written there
// is dropped.
func testJobBindsOfLayers(b *jobFixture) {
	lower, _ := b.changed("lower", nil,
		Deed{Do: DoMkdir, Path: "/dist", Mode: 0o755},
		Deed{Do: DoWrite, Path: "/dist/old", Text: "old", Mode: 0o644},
		Deed{Do: DoWrite, Path: "/dist/gone", Text: "gone", Mode: 0o644},
		Deed{Do: DoChown, Path: "/dist/old", UID: 12, GID: 34},
	)
	upper, _ := b.changed("upper", []string{lower},
		Deed{Do: DoRemove, Path: "/dist/gone"},
		Deed{Do: DoWrite, Path: "/dist/new", Text: "new", Mode: 0o644},
		Deed{Do: DoSymlink, Path: "/out", To: "/etc/passwd"},
	)
	layers := []string{upper, lower}
	want := b.job(Program{Deeds: []Deed{
		{Do: DoList, Path: "/part"},
		{Do: DoRead, Path: "/part/old"},
		{Do: DoRead, Path: "/all/dist/new"},
		{Do: DoRead, Path: "/one"},
		{Do: DoWrite, Path: "/part/x", Mode: 0o644},
		{Do: DoWrite, Path: "/all/dist/x", Mode: 0o644},
		{Do: DoRemove, Path: "/all/dist/old"},
		{Do: DoList, Path: "/all/dist"},
		{Do: DoList, Path: "/part"},
	}})
	want.Binds = []runtime.Bind{
		{Layers: layers, Path: "dist", Target: "/part"},
		{Layers: layers, Target: "/all", Write: true},
		{Layers: layers[1:], Path: "/dist/old", Target: "/one"},
	}
	want.Changes = b.path("changes")
	found, result := b.do(want)
	b.expect(found, map[string]string{
		"read /part/old": `"old"`, "read /all/dist/new": `"new"`, "read /one": `"old"`,
		"write /part/x": "EROFS", "write /all/dist/x": "ok", "remove /all/dist/old": "ok",
		"list /all/dist": "new x", "list /part": "new old",
	})
	if result.Layer == nil || result.Layer.Entries != 0 {
		b.Errorf("what was written to a bind is a change: %q, %+v", b.tree(want.Changes), result.Layer)
	}
	for dir, names := range map[string]string{lower: "/dist/x", upper: "/dist/x"} {
		if got := b.look(dir + names); got[:4] == "file" {
			b.Errorf("%s was written to the layer %s: %s", names, dir, got)
		}
	}
	want = b.job(Program{})
	want.Binds = []runtime.Bind{{Layers: layers, Path: "out", Target: "/x"}}
	if _, err := b.try(b.ctx, want, &recorder{}); err == nil {
		b.Error("a link of a layer led out of it")
	}
}

// A bind can be an empty directory or a file in memory.
func testJobBindsInMemory(b *jobFixture) {
	want := b.job(Program{Deeds: []Deed{
		{Do: DoRead, Path: "/run/secrets/token"},
		{Do: DoWrite, Path: "/run/secrets/token", Text: "mine", Mode: 0o644},
		{Do: DoWrite, Path: "/scratch/deep", Text: "x", Mode: 0o644},
		{Do: DoList, Path: "/scratch"},
	}})
	want.Binds = []runtime.Bind{
		{Memory: &runtime.Memory{File: true, Data: []byte("s3cret"), Mode: 0o400}, Target: "/run/secrets/token"},
		{Memory: &runtime.Memory{Size: 1 << 20, Mode: 0o755 | fs.ModeSticky}, Write: true, Target: "/scratch"},
	}
	want.Changes = b.path("changes")
	found, result := b.do(want)
	b.expect(found, map[string]string{
		"read /run/secrets/token": `"s3cret"`, "write /run/secrets/token": "EROFS", "write /scratch/deep": "ok", "list /scratch": "deep",
	})
	if result.Layer == nil || result.Layer.Entries != 0 {
		b.Errorf("what was in memory is a change: %q, %+v", b.tree(want.Changes), result.Layer)
	}
}
