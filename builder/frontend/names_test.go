package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/build/docker/graph"
)

// What FROM, COPY --from and mounts mean: a stage, or else an image.
func TestStagesAndImages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dockerfile, images, told string // told is in an error or a warning
	}{
		{"FROM debian AS a\nFROM a AS t\n", "debian", ""},
		{"FROM debian AS a\nFROM node AS t\nCOPY --from=a /x /x\n", "debian node", ""},
		{"FROM debian AS a\nFROM node AS t\nCOPY --from=A /x /x\n", "debian node", ""},
		{"FROM debian AS a\nFROM node AS t\nCOPY --from=0 /x /x\n", "debian node", ""},
		{"FROM debian AS t\nCOPY --from=below /x /x\nFROM node AS below\n", "debian node", ""},
		{"FROM debian AS t\nRUN --mount=from=below,target=/b x\nFROM node AS below\n", "debian node", ""},
		{"FROM debian AS t\nCOPY --from=busybox /x /x\n", "busybox debian", ""},
		{"FROM debian AS debian\nFROM debian AS t\n", "debian", ""},
		{"FROM debian AS t\nCOPY --from=1 /x /x\n", "", "invalid stage index 1"},
		{"FROM debian AS t\nCOPY --from=t /x /x\n", "", "circular dependency"},
		{"FROM below AS t\nFROM node AS below\n", "below", "Dockerfile:1: FROM below means the image below, not the stage below, which is below it"},
		{"FROM nginx AS base\nFROM base AS nginx\nFROM nginx AS t\n", "nginx", "Dockerfile:1: FROM nginx means the image nginx"},
	} {
		r := graph.Request{Dockerfile: []byte(c.dockerfile), Images: map[string]graph.Image{}, Target: "t"}
		var images []string
		a := ask(t, r)
		for ; len(a.Wanted) > 0; a = ask(t, r) {
			for _, w := range a.Wanted {
				r.Images[w.Name] = base(`{}`)
				images = append(images, strings.TrimSuffix(w.Name, ":latest"))
			}
		}
		slices.Sort(images)
		if got := strings.Join(slices.Compact(images), " "); got != c.images {
			t.Errorf("%q needs the images %q, want %q", c.dockerfile, got, c.images)
		}
		told := strings.Join(a.Warnings, "\n")
		if a.Error != nil {
			told += a.Error.Message
		}
		if !strings.Contains(told, c.told) || c.told == "" && strings.Contains(told, "means the image") {
			t.Errorf("%q: %q, want %q", c.dockerfile, told, c.told)
		}
	}
}
