package main

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestQuantities(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"0.25": "0.25 vCPU", "1": "1 vCPU", "4": "4 vCPU", "1 vCPU": "1 vCPU", "2vcpu": "2 vCPU", "256": "256", "1024": "1024", "fast": "fast", "": "",
	} {
		if got := cpuValue(given); got != want {
			t.Errorf("cpuValue(%q) = %q, want %q", given, got, want)
		}
	}
	for given, want := range map[string]string{
		"0.5": "0.5 GB", "2": "2 GB", "12": "12 GB", "2GB": "2 GB", "3 gb": "3 GB", "512": "512", "2048": "2048", "1G": "1G",
	} {
		if got := memoryValue(given); got != want {
			t.Errorf("memoryValue(%q) = %q, want %q", given, got, want)
		}
	}
	for units, want := range map[string]string{"512": "0.5 GB", "2048": "2 GB", "1536": "1536 MB", "2 GB": "2 GB", "": ""} {
		if got := memoryForPeople(units); got != want {
			t.Errorf("memoryForPeople(%q) = %q, want %q", units, got, want)
		}
	}
}

func TestDefaultServiceName(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]string{
		"shop":                  "shop",
		"team/shop-api":         "shop-api",
		"web":                   "web-app",
		"a.b_c":                 "a-b_c",
		"--x--":                 "x-app",
		"...":                   "app-service",
		strings.Repeat("a", 50): strings.Repeat("a", 40),
	} {
		if got := defaultServiceName(image); got != want {
			t.Errorf("defaultServiceName(%q) = %q, want %q", image, got, want)
		}
	}
}

func FuzzDefaultServiceName(f *testing.F) {
	f.Add("team/shop")
	allowed := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-_]{3,39}$`) // the API model's
	f.Fuzz(func(t *testing.T, image string) {
		if got := defaultServiceName(image); !allowed.MatchString(got) {
			t.Errorf("defaultServiceName(%q) = %q", image, got)
		}
	})
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ have, flags, want sizes }{
		{defaultSizes, sizes{}, defaultSizes},
		{defaultSizes, sizes{least: 30}, sizes{100, 30, 30}},
		{sizes{50, 3, 9}, sizes{most: 2}, sizes{50, 2, 2}},
		{sizes{50, 3, 9}, sizes{least: 5, most: 2}, sizes{50, 5, 2}}, // the server refuses it
		{sizes{50, 3, 9}, sizes{concurrency: 10}, sizes{10, 3, 9}},
	} {
		if got := tc.have.with(tc.flags); got != tc.want {
			t.Errorf("%v with %v = %v, want %v", tc.have, tc.flags, got, tc.want)
		}
	}
	if n := len((sizes{200, 25, 1000}).name()); n > 32 {
		t.Errorf("the name has %d letters, 32 are allowed", n)
	}
}

func TestParseSince(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("X", 3600)
	now := epoch.In(zone)
	for text, want := range map[string]time.Time{
		"90m":                  epoch.Add(-90 * time.Minute),
		"0s":                   epoch,
		"3d":                   epoch.AddDate(0, 0, -3),
		"2026-03-01T11:00:00Z": epoch.Add(-time.Hour),
		"2026-03-01 11:00:00":  epoch.Add(-2 * time.Hour),
		"2026-03-01":           epoch.Add(-13 * time.Hour),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("parseSince(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1h", "-3d", "3.5d", "yesterday", "2026-13-01"} {
		if got, err := parseSince(text, now); err == nil {
			t.Errorf("parseSince(%q) = %v", text, got)
		}
	}
}

func TestShellQuote(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":             "''",
		"http://h:1/a": "http://h:1/a",
		"a b":          "'a b'",
		"it's":         `'it'\''s'`,
		"$(rm)":        "'$(rm)'",
	} {
		if got := shellQuote(s); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", s, got, want)
		}
	}
}
