package ecr

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/strictjson"
)

// lifecycle is a lifecycle policy.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html
type lifecycle struct {
	Rules []rule `json:"rules"`
}

type rule struct {
	Priority    int       `json:"rulePriority"`
	Description string    `json:"description"`
	Selection   selection `json:"selection"`
	Action      struct {
		Type string `json:"type"`
	} `json:"action"`
}

type selection struct {
	TagStatus string   `json:"tagStatus"` // tagged, untagged or any
	Prefixes  []string `json:"tagPrefixList"`
	Patterns  []string `json:"tagPatternList"`
	CountType string   `json:"countType"`
	CountUnit string   `json:"countUnit"`
	Count     int      `json:"countNumber"`
}

const (
	countMoreThan = "imageCountMoreThan"
	countSince    = "sinceImagePushed"
)

// maxLifecycle is the maximum size of a lifecycle policy in bytes, as in ECR.
const maxLifecycle = 30_720

// parseLifecycle reads and checks a policy. Its error says what is wrong.
func parseLifecycle(text string) (lifecycle, error) {
	var l lifecycle
	if len(text) > maxLifecycle {
		return l, fmt.Errorf("it has %d bytes; at most %d are allowed", len(text), maxLifecycle)
	}
	if err := strictjson.Unmarshal([]byte(text), &l); err != nil {
		return l, fmt.Errorf("it is not a JSON document of rules: %w", err)
	}
	if len(l.Rules) == 0 {
		return l, errors.New("it has no rules")
	}
	seen := map[int]bool{}
	for _, r := range l.Rules {
		if err := r.check(); err != nil {
			return l, fmt.Errorf("rule %d: %w", r.Priority, err)
		}
		if seen[r.Priority] {
			return l, fmt.Errorf("two rules have priority %d", r.Priority)
		}
		seen[r.Priority] = true
	}
	slices.SortFunc(l.Rules, func(a, b rule) int { return cmp.Compare(a.Priority, b.Priority) })
	return l, nil
}

func (r rule) check() error {
	s := r.Selection
	tagged := s.TagStatus == "tagged"
	switch {
	case r.Priority < 1:
		return errors.New("rulePriority must be at least 1")
	case !slices.Contains([]string{"tagged", "untagged", "any"}, s.TagStatus):
		return fmt.Errorf("tagStatus is %q; it must be tagged, untagged or any", s.TagStatus)
	case tagged && (len(s.Prefixes) > 0) == (len(s.Patterns) > 0):
		return errors.New("tagStatus tagged needs either tagPrefixList or tagPatternList")
	case !tagged && len(s.Prefixes)+len(s.Patterns) > 0:
		return errors.New("tagPrefixList and tagPatternList need tagStatus tagged")
	case s.CountType == countSince && s.CountUnit != "days":
		return errors.New("countType sinceImagePushed needs countUnit days")
	case s.CountType == countMoreThan && s.CountUnit != "":
		return errors.New("countType imageCountMoreThan has no countUnit")
	case s.CountType != countSince && s.CountType != countMoreThan:
		return fmt.Errorf("countType is %q; it must be %s or %s", s.CountType, countMoreThan, countSince)
	case s.Count < 1:
		return errors.New("countNumber must be at least 1")
	case r.Action.Type != "expire":
		return fmt.Errorf("the action's type is %q; it must be expire", r.Action.Type)
	}
	return nil
}

// selects reports whether the rule applies to the image. If the rule has several
// prefixes or patterns, the image must have a tag for each.
func (s selection) selects(c image.Content) bool {
	switch s.TagStatus {
	case "any":
		return true
	case "untagged":
		return len(c.Tags) == 0
	}
	has := func(match func(tag string) bool) bool { return slices.ContainsFunc(c.Tags, match) }
	for _, p := range s.Prefixes {
		if !has(func(t string) bool { return strings.HasPrefix(t, p) }) {
			return false
		}
	}
	for _, p := range s.Patterns {
		if !has(func(t string) bool { return wildcardMatch(p, t) }) {
			return false
		}
	}
	return true
}

// expired returns the digests that the policy deletes. Of the rules that select
// an image, the one with the lowest priority applies. The images of an index stay
// while the index does.
func (l lifecycle) expired(list []image.Content, now time.Time) (digests []string) {
	children := map[string]bool{}
	for _, c := range list {
		for _, d := range c.Children {
			children[d] = true
		}
	}
	left := slices.DeleteFunc(slices.Clone(list), func(c image.Content) bool { return children[c.Digest] && len(c.Tags) == 0 })
	slices.SortFunc(left, func(a, b image.Content) int {
		return cmp.Or(b.PushedAt.Compare(a.PushedAt), cmp.Compare(a.Digest, b.Digest)) // newest first
	})
	for _, r := range l.Rules {
		n := 0
		left = slices.DeleteFunc(left, func(c image.Content) bool {
			if !r.Selection.selects(c) {
				return false
			}
			n++
			old := n > r.Selection.Count
			if r.Selection.CountType == countSince {
				old = now.Sub(c.PushedAt) > time.Duration(r.Selection.Count)*24*time.Hour
			}
			if old {
				digests = append(digests, c.Digest)
			}
			return true
		})
	}
	return digests
}

// Expire deletes the images that expired by lifecycle policies and returns their
// number. Images that services run stay in the image store by digest.
func (e *ECR) Expire(ctx context.Context) (n int, err error) {
	var list []slipway.Repository
	err = e.cfg.Store.View(ctx, func(tx *store.Tx) error { list, err = tx.Repositories(); return err })
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, r := range list {
		if r.Lifecycle == "" {
			continue
		}
		deleted, err := e.expire(ctx, r)
		n += deleted
		if err != nil { // the others expire nevertheless
			errs = append(errs, fmt.Errorf("apply the lifecycle policy of repository %s: %w", r.Name, err))
		}
	}
	return n, errors.Join(errs...)
}

func (e *ECR) expire(ctx context.Context, r slipway.Repository) (n int, err error) {
	policy, err := parseLifecycle(r.Lifecycle)
	if err != nil {
		return 0, err
	}
	contents, err := e.cfg.Images.Contents(r.Name)
	if err != nil && !errors.Is(err, image.ErrNotFound) {
		return 0, err
	}
	now := e.cfg.Now()
	for _, digest := range policy.expired(contents, now) {
		if err := e.cfg.Images.DeleteManifest(r.Name, digest); err != nil && !errors.Is(err, image.ErrNotFound) {
			return n, err
		}
		n++
	}
	return n, e.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		current, err := tx.Repository(r.Name)
		if errors.Is(err, store.ErrNotFound) || err == nil && current.Lifecycle != r.Lifecycle {
			return nil
		}
		if err != nil {
			return err
		}
		current.LifecycleAt = now
		return tx.PutRepository(current)
	})
}
