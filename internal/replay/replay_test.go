package replay_test

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
)

var update = flag.Bool("update", false, "write the recorded answers anew")

const maxRecorded = 200 << 10 // bytes of all files

// TestReplay sends the recorded requests of every client and compares the
// answers with the recorded ones.
func TestReplay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 5 {
		t.Fatalf("recorded are %v (%v), want five clients at least", files, err)
	}
	size := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		size += len(data)
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			replay(t, file, data)
		})
	}
	if size > maxRecorded {
		t.Errorf("the recorded exchanges have %d bytes, %d at most", size, maxRecorded)
	}
}

func replay(t *testing.T, file string, data []byte) {
	comment, recorded := parse(data)
	assertStory(t, recorded, filepath.Base(file) != "terraform.txtar")
	s := newServer(t, func(b *gatewaytest.Bench) time.Time { return b.Clock.Now() })
	for i, e := range recorded {
		s.send(i, e.request)
		got := s.exchanges[i]
		if diff := cmp.Diff(e.request.String(), got.request.String()); diff != "" {
			t.Fatalf("%d: the replayed %s is not the recorded one (-recorded +replayed):\n%s", i+1, e.request.operation(), diff)
		}
		if diff := cmp.Diff(e.answer.String(), got.answer.String()); diff != "" && !*update {
			t.Errorf("%d: %s is answered otherwise (-recorded +now):\n%s", i+1, e.request.operation(), diff)
		}
	}
	if *update {
		if err := os.WriteFile(file, format(comment, s.exchanges), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// assertStory checks that a file has the calls that every client makes, and a
// refused one of a client that makes a mistake.
func assertStory(t *testing.T, recorded []exchange, mistaken bool) {
	t.Helper()
	var done []string
	refused := false
	for _, e := range recorded {
		done = append(done, e.request.operation())
		refused = refused || strings.HasPrefix(e.answer.first, "4")
	}
	for _, name := range []string{"CreateService", "DescribeService", "UpdateService", "DeleteService"} {
		if !slices.Contains(done, name) {
			t.Errorf("%s is not recorded", name)
		}
	}
	if refused != mistaken {
		t.Errorf("a refused call is recorded: %v, want %v", refused, mistaken)
	}
}

// send makes the recorded request number i with values for its placeholders.
func (s *server) send(i int, m message) {
	s.Helper()
	method, uri, _ := strings.Cut(m.first, " ")
	body := s.names.reveal(m.body)
	req, err := http.NewRequest(method, s.URL+uri, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	m.setHeader(req.Header)
	req.Header.Set("Amz-Sdk-Invocation-Id", fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
	sum := sha256.Sum256([]byte(body))
	hash := hex.EncodeToString(sum[:])
	if req.Header.Get(sumHeader) != "" {
		req.Header.Set(sumHeader, hash)
	}
	keys := aws.Credentials{AccessKeyID: s.Key.ID, SecretAccessKey: s.Key.Secret}
	if err := v4.NewSigner().SignHTTP(s.Context(), keys, req, hash, "apprunner", gatewaytest.Region, s.Clock.Now()); err != nil {
		s.Fatal(err)
	}
	r, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.Fatal(err)
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		s.Fatal(err)
	}
}
