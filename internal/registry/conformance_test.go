package registry_test

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestConformance runs the OCI distribution specification's own suite if it is
// installed:
//
//	go install github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111
//
// as "conformance" in the PATH, or at the path that OCI_CONFORMANCE names.
func TestConformance(t *testing.T) {
	t.Parallel()
	suite := os.Getenv("OCI_CONFORMANCE")
	if suite == "" {
		var err error
		if suite, err = exec.LookPath("conformance"); err != nil {
			t.Skip("the conformance suite of the OCI distribution specification is not installed")
		}
	}
	p := open(t, t.TempDir())
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), suite)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"OCI_REGISTRY="+strings.TrimPrefix(p.srv.URL, "http://"), "OCI_TLS=disabled",
		"OCI_USERNAME="+user, "OCI_PASSWORD="+secret, "OCI_RESULTS_DIR="+dir,
		// Options of the specification that the registry implements, beyond the
		// defaults.
		"OCI_API_BLOBS_DIGEST_HEADER=true", "OCI_API_MANIFESTS_DIGEST_HEADER=true", "OCI_API_BLOBS_UPLOAD_CANCEL=true",
		// Options that it does not implement: other digests than sha256.
		"OCI_DATA_SHA512=false",
	)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "junit.xml"))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var report struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Skipped  int `xml:"skipped,attr"`
	}
	if err := xml.Unmarshal(b, &report); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d tests, %d failed, %d skipped", report.Tests, report.Failures+report.Errors, report.Skipped)
	if report.Tests == 0 || report.Failures+report.Errors > 0 {
		t.Errorf("not conformant:\n%s", out)
	}
}
