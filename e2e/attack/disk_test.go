package attack

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestFullDisk pushes to a server whose disk is small until that is refused. The database
// still accepts changes then, because the reserve of the disk is the server's own.
func TestFullDisk(t *testing.T) {
	const size = 400 << 20 // a reserve of 20 MiB
	dir := harness.SmallDisk(t, size)
	s := harness.NewServiceSecrets(harness.Serve(t, "--isolated", "--warm", "0"))
	x := authority{ServiceSecrets: s}
	mallory := x.user(t, "mallory", `{"Effect":"Allow","Action":["apprunner:*","ecr:*"],"Resource":"*"}`)
	keys, err := mallory.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, url string, body []byte) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(keys.AccessKeyID, keys.SecretAccessKey)
		res, err := x.HTTPClient.Do(r)
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			// It was refused before all of the body was sent.
			return &http.Response{StatusCode: http.StatusInsufficientStorage, Status: "a closed connection"}
		}
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	res := ask(http.MethodPost, "http://"+x.RegistryHost()+"/v2/full/blobs/uploads/", nil)
	if res.StatusCode != http.StatusAccepted {
		t.Fatalf("begin an upload: %s", res.Status)
	}
	sent, part := 0, make([]byte, 8<<20)
	for i := range part {
		part[i] = byte(i * i)
	}
	at, err := res.Location()
	for ; err == nil && res.StatusCode == http.StatusAccepted && sent < 2*size; sent += len(part) {
		res = ask(http.MethodPatch, at.String(), part)
	}
	if err != nil || res.StatusCode < 400 || sent < size/2 {
		t.Fatalf("after %d MiB: %s, %v", sent>>20, res.Status, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	free := int64(st.Bavail) * st.Bsize
	t.Logf("refused after %d MiB with %s; %d MiB are free", sent>>20, res.Status, free>>20)
	if free < 19<<20 {
		t.Errorf("%d bytes of a reserve of 20 MiB are free", free)
	}
	client := apprunner.NewFromConfig(mallory)
	for i := range 8 { // as many as one user may have
		name := fmt.Sprint("change", i)
		if _, err := client.CreateObservabilityConfiguration(t.Context(), &apprunner.CreateObservabilityConfigurationInput{ObservabilityConfigurationName: &name}); err != nil {
			t.Fatalf("a change of the database: %v", err)
		}
	}
	if res := ask(http.MethodDelete, at.String(), nil); res.StatusCode != http.StatusNoContent && res.StatusCode != http.StatusNotFound {
		t.Errorf("cancel the upload: %s", res.Status)
	}
}
