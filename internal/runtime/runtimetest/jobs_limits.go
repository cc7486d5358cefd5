package runtimetest

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/openslipway/slipway/internal/runtime"
)

func testJobMemory(b *jobFixture) {
	if !b.driver.Limits().Memory {
		b.Skip("this driver does not limit memory")
	}
	want := b.job(Program{Memory: 512 << 20})
	want.Resources.Memory = 64
	if result, _ := b.run(want); result.Limit != runtime.LimitMemory || !result.Exit.OOM || result.Exit.Code != 137 {
		b.Errorf("a job that takes 512 of its 64 MiB ended with %+v", result)
	}
}

func testJobPids(b *jobFixture) {
	if !b.driver.Limits().Pids {
		b.Skip("this driver does not limit processes")
	}
	const wanted, limit = 5000, 50
	want := b.job(Program{Children: wanted})
	want.Pids = limit
	result, r := b.run(want)
	var n int
	if _, err := fmt.Sscanf(r.text(), "children %d\n", &n); err != nil || n <= 0 || n > limit || result.Exit.Code != 0 || result.Limit != runtime.LimitPids {
		b.Errorf("a job with %d processes made %d (%v) and ended with %+v", limit, n, err, result)
	}
}

func testJobDisk(b *jobFixture) {
	if !b.driver.Limits().Disk {
		b.Skip("this driver does not limit disk space")
	}
	const limit = 16 << 20
	want := b.job(Program{Disk: 4 * limit})
	want.Disk = limit
	result, r := b.run(want)
	var n int
	// File systems account in blocks, so the limit may be met a little early or late.
	if _, err := fmt.Sscanf(r.text(), "disk %d\n", &n); err != nil || n < limit/2 || n > limit*5/4 {
		b.Errorf("a job with %d bytes of disk wrote %d (%v)", limit, n, err)
	}
	if result.Limit != runtime.LimitDisk {
		b.Errorf("a job that filled its disk ended with %+v", result)
	}
	want = b.job(Program{Disk: limit / 4})
	want.Disk = limit
	if result, _ := b.run(want); result.Limit != "" {
		b.Errorf("a job that used a quarter of its disk ended with %+v", result)
	}
}

// testJobTime gives a job that never ends more and more time, until it has come as far as
// its output: how long that takes is the machine's affair.
func testJobTime(b *jobFixture) {
	for limit, done := 100*time.Millisecond, false; !done; limit *= 2 {
		want := b.job(Program{Stdout: "here\n", IgnoreStop: true, Exit: &Exit{After: time.Hour}})
		want.Timeout = limit
		want.Changes = b.path("changes-" + limit.String())
		result, r := b.run(want)
		exit := result.Exit
		if result.Limit != runtime.LimitTime || exit.Code != 137 || exit.Ran <= 0 || !strings.Contains(exit.Reason, limit.String()) || result.Layer != nil {
			b.Fatalf("a job without end ended with %+v", result)
		}
		done = r.text() == "here\n"
		if !done && (r.text() != "" || limit > patience) {
			b.Fatalf("a job without end left the output %q after %v", r.text(), limit)
		}
	}
	want := b.job(Program{})
	want.Timeout = time.Hour
	if result, _ := b.run(want); result.Limit != "" || result.Exit.Code != 0 {
		b.Errorf("a job within its time ended with %+v", result)
	}
}

// testJobIsolation looks from inside a job for what is not its own.
func testJobIsolation(b *jobFixture) {
	secret := b.path("secret")
	b.write(secret, "of the host")
	neighbour := b.fixture.start(Program{})
	b.serves(neighbour)
	other := b.job(Program{Deeds: []Deed{{Do: DoWrite, Path: "/other", Text: "x", Mode: 0o644}, {Do: DoAwait, Path: "/go/on"}}})
	other.Binds = []runtime.Bind{{Source: b.mkdir("go"), Target: "/go"}}
	_, ended := b.start(b.ctx, other, "write /other: ok\n")
	address := fmt.Sprintf("127.0.0.1:%d", port)
	found, _ := b.do(b.job(Program{Deeds: []Deed{
		{Do: DoRead, Path: secret}, {Do: DoRead, Path: "/other"}, {Do: DoList, Path: "/go"}, {Do: DoDial, Path: address},
	}}))
	b.expect(found, map[string]string{
		"read " + secret: "ENOENT", "read /other": "ENOENT", "list /go": "ENOENT", "dial " + address: "ECONNREFUSED",
	})
	b.write(b.path("go/on"), "")
	if err := <-ended; err != nil {
		b.Errorf("the other job returned %v", err)
	}
	b.serves(neighbour)
}

func testJobBinds(b *jobFixture) {
	source, cache, file := b.mkdir("source"), b.mkdir("cache"), b.path("file")
	b.write(filepath.Join(source, "main.go"), "package main")
	b.write(file, "secret")
	want := b.job(Program{Deeds: []Deed{
		{Do: DoRead, Path: "/app/main.go"},
		{Do: DoWrite, Path: "/app/x", Mode: 0o644},
		{Do: DoRemove, Path: "/app/main.go"},
		{Do: DoWrite, Path: "/root/.cache/deep/x", Text: "kept", Mode: 0o640},
		{Do: DoChown, Path: "/root/.cache/deep/x", UID: 12, GID: 34},
		{Do: DoRead, Path: "/run/secret"},
		{Do: DoWrite, Path: "/run/secret", Text: "mine", Mode: 0o644},
	}})
	want.Binds = []runtime.Bind{
		{Source: source, Target: "/app"}, {Source: cache, Target: "/root/.cache/deep", Write: true}, {Source: file, Target: "/run/secret"},
	}
	want.Changes = b.path("changes")
	found, result := b.do(want)
	b.expect(found, map[string]string{
		"read /app/main.go": `"package main"`, "write /app/x": "EROFS", "remove /app/main.go": "EROFS",
		"write /root/.cache/deep/x": "ok", "chown /root/.cache/deep/x": "ok",
		"read /run/secret": `"secret"`, "write /run/secret": "EROFS",
	})
	if got := b.look(filepath.Join(cache, "x")); got != `file 0640 12:34 "kept"` {
		b.Errorf("what the job wrote into its cache is %s", got)
	}
	// What was made to mount upon is no change.
	if got := b.tree(want.Changes); len(got) > 0 || result.Layer.Entries != 0 {
		b.Errorf("the changes are %q, the layer is %+v", got, result.Layer)
	}
	linked, _ := b.changed("linked", nil, Deed{Do: DoSymlink, Path: "/linked", To: "/etc"})
	want = b.job(Program{})
	want.Layers = []string{linked}
	for _, target := range []string{"/linked", "/linked/deep"} {
		want.Binds = []runtime.Bind{{Source: source, Target: target}}
		if _, err := b.try(b.ctx, want, &recorder{}); err == nil {
			b.Errorf("something was bound to %s, through a link of the image", target)
		}
	}
}
