package source

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/image"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

func TestImageWithoutLayers(t *testing.T) {
	t.Parallel()
	s, err := image.Open(image.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Put(t.Context(), "empty:1", imagetest.Image(t, imagetest.Options{Cmd: []string{"/app"}})); err != nil {
		t.Fatal(err)
	}
	from := types.SourceConfiguration{ImageRepository: &types.ImageRepository{ImageIdentifier: aws.String("empty:1")}}
	_, err = Resolver{Images: s}.Resolve(t.Context(), from, func(string) {})
	if slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), "no layers") {
		t.Errorf("error %v, want one of the user's that says that there are no layers", err)
	}
}

// The deployment gives up at the user's mistakes and tries again at the rest.
func TestWordedTellsMistakesFromBadDays(t *testing.T) {
	t.Parallel()
	mistake := slipway.Errorf(slipway.InvalidRequest, "No such image.")
	for _, c := range []struct {
		name string
		err  error
		code slipway.Code
		text string
	}{
		{"mistake", mistake, slipway.InvalidRequest, "No such image."},
		{"unavailable", fmt.Errorf("%w: %w", image.ErrUnavailable, mistake), "", "registry unavailable: No such image."},
		{"ours", errors.New("disk on fire"), "", "pull x: disk on fire"},
	} {
		got := wrap("pull x", c.err)
		if slipway.CodeOf(got) != c.code || got.Error() != c.text {
			t.Errorf("%s: %q with code %q, want %q with %q", c.name, got, slipway.CodeOf(got), c.text, c.code)
		}
	}
}

// A registry that can't be reached is told while its retries go on, and once.
func TestARegistryThatDoesNotAnswerIsTold(t *testing.T) {
	t.Parallel()
	s, err := image.Open(image.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	from := types.SourceConfiguration{ImageRepository: &types.ImageRepository{ImageIdentifier: aws.String("127.0.0.1:1/shop:1")}}
	var lines []string
	if _, err := (Resolver{Images: s}).Resolve(t.Context(), from, func(line string) { lines = append(lines, line) }); err == nil {
		t.Fatal("the image was pulled")
	}
	want := "Registry 127.0.0.1:1 does not answer: "
	if len(lines) == 0 || !strings.HasPrefix(lines[0], want) {
		t.Errorf("lines %q, want %q", lines, want)
	}
	if slices.Contains(lines[1:], lines[0]) {
		t.Errorf("a line is repeated: %q", lines)
	}
}
