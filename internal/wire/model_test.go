package wire

import (
	"strings"
	"testing"
)

// every calls f once for each shape that an operation's input or output holds.
func every(f func(*Shape)) {
	seen := map[*Shape]bool{}
	var visit func(*Shape)
	visit = func(s *Shape) {
		if s == nil || seen[s] {
			return
		}
		seen[s] = true
		f(s)
		visit(s.Elem)
		visit(s.Key)
		for _, m := range s.Members {
			visit(m.Shape)
		}
	}
	for _, op := range operations {
		visit(op.Input)
		visit(op.Output)
	}
}

func TestModelIsWhole(t *testing.T) {
	t.Parallel()
	if len(operations) != 37 {
		t.Errorf("the table has %d operations, App Runner has 37", len(operations))
	}
	n := 0
	every(func(s *Shape) {
		n++
		if s.Pattern != nil {
			s.Pattern.Match("") // panics on an expression Go can't compile
		}
		if s.Kind == Map && (!s.Key.Sensitive || !s.Elem.Sensitive) {
			t.Errorf("map %s is not sensitive: checkMap relies on it", s.Name)
		}
	})
	if n < 190 {
		t.Errorf("only %d shapes are reachable", n)
	}
}

// The rewritten patterns leave out a count that another constraint implies: at
// that constraint's bound both forms must agree.
func TestRewrittenPatterns(t *testing.T) {
	t.Parallel()
	const prefix = "arn:aws:apprunner:us-east-1:000000000000:"
	for _, c := range []struct {
		shape *Shape
		value string
		want  bool
	}{
		{shapeAppRunnerResourceArn, prefix + strings.Repeat("a", 1011-len(prefix)), true},
		{shapeAppRunnerResourceArn, prefix + strings.Repeat("a", 1012-len(prefix)), false},
		{shapeAppRunnerResourceArn, prefix, false},
		{shapeAppRunnerResourceArn, prefix + "a b", false},
		{shapeAppRunnerResourceArn, "arn:aws:apprunner:us-east-1:00000000000:a", false},
		{shapeAppRunnerResourceArn, "arn:aws-cn:" + strings.Repeat("a", 63) + "::000000000000:a", true},
		{shapeAppRunnerResourceArn, "arn:aws-cn:" + strings.Repeat("a", 64) + "::000000000000:a", false},
		{shapeRoleArn, "arn:aws:iam::000000000000:role/x", true},
		{shapeRoleArn, "arn:aws:iam::000000000000:role/service-role/team/x@y", true},
		{shapeRoleArn, "arn:aws:iam::000000000000:user/x", false},
		{shapeRoleArn, "arn:aws:iam::000000000000:role/", false},
		{shapeRoleArn, "arn:aws:iam::000000000000:role/" + strings.Repeat("x", 1000), false}, // 1031 characters
		{shapeTagKey, "aws:x", false},
		{shapeTagKey, "aws", true},
		{shapeTagKey, "xaws:", true},
		{shapeTagKey, "", false},
		{shapeImageIdentifier, "localhost:5000/any/where@sha256:0", true},
		{shapeString, "two\nlines", true},
		{shapeCpu, "1 vCPU", true},
		{shapeCpu, "1024", true},
		{shapeCpu, "x256", false},
		{shapeMemory, "10 GB", true},
		{shapeMemory, "12288 GB", false},
	} {
		if got := len(stringBreaches(c.shape, c.value)) == 0; got != c.want {
			t.Errorf("%s %.60q (%d characters) is accepted: %t", c.shape.Name, c.value, len(c.value), got)
		}
	}
}
