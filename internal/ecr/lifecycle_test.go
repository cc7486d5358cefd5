package ecr

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/image"
)

func TestExpired(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	day := 24 * time.Hour
	list := []image.Content{
		{Digest: "prod1", Tags: []string{"prod-1"}, PushedAt: now.Add(-40 * day)},
		{Digest: "prod2", Tags: []string{"prod-2", "stable"}, PushedAt: now.Add(-30 * day)},
		{Digest: "prod3", Tags: []string{"prod-3"}, PushedAt: now.Add(-1 * day)},
		{Digest: "dev1", Tags: []string{"dev-1"}, PushedAt: now.Add(-20 * day)},
		{Digest: "dev2", Tags: []string{"dev-2"}, PushedAt: now.Add(-10 * day)},
		{Digest: "old", PushedAt: now.Add(-15 * day)},
		{Digest: "new", PushedAt: now.Add(-1 * time.Hour)},
		{Digest: "index", Tags: []string{"all"}, PushedAt: now.Add(-50 * day), Children: []string{"part"}},
		{Digest: "part", PushedAt: now.Add(-50 * day)},
	}
	rule := func(n int, selection string) string {
		return fmt.Sprintf(`{"rulePriority": %d, "selection": {%s}, "action": {"type": "expire"}}`, n, selection)
	}
	count := func(n int) string { return fmt.Sprintf(`"countType": "imageCountMoreThan", "countNumber": %d`, n) }
	days := func(n int) string {
		return fmt.Sprintf(`"countType": "sinceImagePushed", "countUnit": "days", "countNumber": %d`, n)
	}
	for _, c := range []struct {
		name  string
		rules []string
		want  string
	}{
		{"untagged after 14 days, not those of an index", []string{rule(1, `"tagStatus": "untagged", `+days(14))}, "old"},
		{"all but one untagged", []string{rule(1, `"tagStatus": "untagged", `+count(1))}, "old"},
		{"all but two of a prefix", []string{rule(1, `"tagStatus": "tagged", "tagPrefixList": ["prod-"], `+count(2))}, "prod1"},
		{"of two prefixes both", []string{rule(1, `"tagStatus": "tagged", "tagPrefixList": ["prod-", "stable"], `+days(5))}, "prod2"},
		{"by pattern", []string{rule(1, `"tagStatus": "tagged", "tagPatternList": ["*-1"], `+days(5))}, "dev1 prod1"},
		{"any", []string{rule(1, `"tagStatus": "any", `+count(3))}, "dev1 index old prod1 prod2"},
		{
			"who is kept by a rule is not taken by a later one",
			[]string{rule(2, `"tagStatus": "any", `+days(12)), rule(1, `"tagStatus": "tagged", "tagPrefixList": ["prod-"], `+count(2))},
			"dev1 index old prod1",
		},
	} {
		l, err := parseLifecycle(`{"rules": [` + strings.Join(c.rules, ",") + `]}`)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := l.expired(list, now)
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}

func TestLifecycleRules(t *testing.T) {
	t.Parallel()
	ok := `"rulePriority": 1, "action": {"type": "expire"}`
	for body, want := range map[string]string{
		`x`: "JSON", `{}`: "no rules",
		`{"rules": [{}]}`:                  "rulePriority",
		`{"rules": [{` + ok + `}]}`:        "tagStatus",
		`{"rules": [{"rulePriority": 1}]}`: "tagStatus",
		`{"rules": [{` + ok + `, "selection": {"tagStatus": "tagged", "countType": "imageCountMoreThan", "countNumber": 1}}]}`:                                 "tagPrefixList",
		`{"rules": [{` + ok + `, "selection": {"tagStatus": "any", "tagPrefixList": ["x"], "countType": "imageCountMoreThan", "countNumber": 1}}]}`:            "tagStatus tagged",
		`{"rules": [{` + ok + `, "selection": {"tagStatus": "any", "countType": "sinceImagePushed", "countNumber": 1}}]}`:                                      "countUnit days",
		`{"rules": [{` + ok + `, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countUnit": "days", "countNumber": 1}}]}`:               "no countUnit",
		`{"rules": [{` + ok + `, "selection": {"tagStatus": "any", "countType": "moon"}}]}`:                                                                    "countType",
		`{"rules": [{` + ok + `, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 0}}]}`:                                    "countNumber",
		`{"rules": [{"rulePriority": 1, "action": {"type": "keep"}, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}}]}`: "expire",
		strings.Repeat(" ", maxLifecycle+1): "bytes",
	} {
		if _, err := parseLifecycle(body); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", body, err, want)
		}
	}
}

func FuzzLifecycle(f *testing.F) {
	f.Add(`{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}, "action": {"type": "expire"}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseLifecycle(text)
		if err != nil {
			return
		}
		list := []image.Content{{Digest: "a", Tags: []string{"x"}}, {Digest: "b"}}
		if n := len(l.expired(list, time.Unix(0, 0))); n > len(list) {
			t.Errorf("%d of %d images expired", n, len(list))
		}
	})
}
