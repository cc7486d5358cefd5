package imagefile

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

func TestRename(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ reference, name, tag string }{
		{"shop:1.0", "shop", "1.0"},
		{"docker.io/library/shop", "shop", ""},
		{"localhost:5000/team/Shop:V1", "team/shop", "V1"},
		{"team/shop:1", "team/shop", "1"},
		{"shop:1.0@sha256:0123", "shop", "1.0"},
		{"latest", "guess", "latest"},
		{"a b", "guess", ""},
		{"", "guess", ""},
		{"///", "guess", ""},
		{"reg.test/ö:x y", "guess", ""},
	} {
		i := &Image{Name: "guess"}
		i.rename(tc.reference)
		if i.Name != tc.name || i.Tag != tc.tag {
			t.Errorf("rename(%q): %q, %q; want %q, %q", tc.reference, i.Name, i.Tag, tc.name, tc.tag)
		}
	}
}

func TestNameFromPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/a/shop.tar":         "shop",
		"/a/Shop App.tar.gz":  "shop-app",
		"shop.tgz":            "shop",
		"/a/my__shop--2.0/":   "my_shop-2.0",
		"/a/.hidden":          "hidden",
		"/a/日本":               "image",
		"/":                   "image",
		"/a/xy.oci.tar":       "xy",
		"/a/x.tar":            "image",
		"/a/trailing-dash-!!": "trailing-dash",
	} {
		if got := nameFromPath(path); got != want {
			t.Errorf("nameFromPath(%q) = %q, want %q", path, got, want)
		}
	}
}

func FuzzRepositoryName(f *testing.F) {
	f.Add("Shop/App:1")
	f.Add("..__--")
	f.Fuzz(func(t *testing.T, s string) {
		got := repositoryPath(s)
		if got == "" {
			return
		}
		if len(got) > 255 {
			return // refused, and rightly
		}
		if _, err := name.NewRepository("registry.test/" + got); err != nil {
			t.Errorf("repositoryPath(%q) = %q: %v", s, got, err)
		}
	})
}
