package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// uploadSource is a source configuration with an upload; members are added to the
// CodeRepository.
func uploadSource(url string, members ...string) string {
	return strings.Replace(codeSource(append([]string{fromFile}, members...)...), "https://git.example.com/shop.git", url, 1)
}

// An upload is its owner's: another user can neither use nor recognise it, but may
// leave it in a service that has it.
func TestUploads(t *testing.T) {
	t.Parallel()
	root, ann := limited(t, allowAll, withCode)
	hers := slipway.Upload{ID: strings.Repeat("a", 32), Owner: ann.Caller().UserID, Snapshot: "1", CreatedAt: time.Now()}
	others := slipway.Upload{ID: strings.Repeat("b", 32), Owner: "AIDABOB", Snapshot: "1", CreatedAt: time.Now()}
	root.Update(func(tx *store.Tx) error {
		for _, u := range []slipway.Upload{hers, others} {
			if _, err := tx.PutUpload(u); err != nil {
				return err
			}
		}
		return nil
	})
	const name = `{"ServiceName":"shop",`
	var refusals []string
	for _, url := range []string{others.URL(), "upload://" + strings.Repeat("c", 32)} {
		_, err := ann.Invoke("apprunner:CreateService", name+uploadSource(url)+`}`)
		if err == nil || !strings.Contains(err.Error(), "you have no upload") {
			t.Fatalf("%s: %v", url, err)
		}
		refusals = append(refusals, strings.ReplaceAll(err.Error(), url[len("upload://"):], "ID"))
	}
	if refusals[0] != refusals[1] {
		t.Errorf("another user's upload and none are told apart:\n%s\n%s", refusals[0], refusals[1])
	}
	for _, url := range []string{"upload://", "upload://x", "UPLOAD://" + hers.ID, hers.URL() + "/..", "upload://" + strings.ToUpper(hers.ID)} {
		ann.Refused("AppRunner.CreateService", name+uploadSource(url)+`}`, "InvalidRequestException", "is not the URL of an upload")
	}
	doc := ann.OK("AppRunner.CreateService", name+uploadSource(hers.URL())+`}`)
	arn := inside(t, doc, "Service", "ServiceArn").(string)
	root.Update(func(tx *store.Tx) error {
		if used, err := tx.InUse(hers.URL()); err != nil || !used {
			t.Errorf("the upload is not in use: %v", err)
		}
		return tx.ForgetUploads(hers.Owner, time.Now().Add(time.Hour))
	})
	root.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	bob := `{"ServiceArn":"` + arn + `",`
	root.OK("AppRunner.UpdateService", bob+uploadSource(hers.URL(), `"SourceDirectory":"/web"`)+`}`)
	root.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	ann.Refused("AppRunner.UpdateService", bob+uploadSource(others.URL())+`}`, "InvalidRequestException", "you have no upload")
}

// What a service sets wins over the files of its upload, is shown, and is kept by an
// update that says nothing of it.
func TestUploadOverrides(t *testing.T) {
	t.Parallel()
	b := newBench(t, withCode)
	up := slipway.Upload{ID: strings.Repeat("a", 32), Owner: b.Caller().UserID, Snapshot: "1"}
	b.Update(func(tx *store.Tx) error { _, err := tx.PutUpload(up); return err })
	set := func(members string) string {
		return strings.Replace(uploadSource(up.URL()), `"REPOSITORY"`, `"REPOSITORY","CodeConfigurationValues":{"Runtime":"PYTHON_311"`+members+`}`, 1)
	}
	b.Refused("AppRunner.CreateService", `{"ServiceName":"shop",`+set(`,"BuildCommand":"make"`)+`}`, "InvalidRequestException", "BuildCommand can't be set")
	b.Refused("AppRunner.CreateService", `{"ServiceName":"shop",`+set(`,"Port":"0"`)+`}`, "InvalidRequestException", "Port")
	doc := b.OK("AppRunner.CreateService", `{"ServiceName":"shop",`+set(`,"Port":"81","RuntimeEnvironmentVariables":{"A":"1"}`)+`}`)
	arn := inside(t, doc, "Service", "ServiceArn").(string)
	check := func(want string) {
		t.Helper()
		doc := b.OK("AppRunner.DescribeService", arnBody(arn))
		got := inside(t, doc, "Service", "SourceConfiguration", "CodeRepository", "CodeConfiguration")
		if d := cmp.Diff(any(object(t, want)), got); d != "" {
			t.Errorf("CodeConfiguration (-want +got):\n%s", d)
		}
	}
	const shown = `{"ConfigurationSource":"REPOSITORY","CodeConfigurationValues":{"Runtime":"PYTHON_311","Port":"81","RuntimeEnvironmentVariables":{"A":"1"}}}`
	check(shown)
	b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	b.OK("AppRunner.UpdateService", `{"ServiceArn":"`+arn+`",`+uploadSource(up.URL())+`}`)
	check(shown)
	b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	b.OK("AppRunner.UpdateService", `{"ServiceArn":"`+arn+`",`+set(`,"RuntimeEnvironmentVariables":{}`)+`}`)
	check(`{"ConfigurationSource":"REPOSITORY","CodeConfigurationValues":{"Runtime":"PYTHON_311","Port":"81"}}`)
}
