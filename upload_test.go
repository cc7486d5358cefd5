package slipway

import (
	"strings"
	"testing"
)

func TestParseUploadURL(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("0a", 16)
	if got, err := ParseUploadURL(Upload{ID: id}.URL()); got != id || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, url := range []string{
		"", "upload://", "upload://" + id + "/", "upload://" + id + "0", "upload://" + strings.ToUpper(id), "UPLOAD://" + id,
		"upload://../" + id[3:], "upload:" + id, " upload://" + id, "https://example.com/" + id, "upload://" + id[:31] + "\n",
	} {
		if _, err := ParseUploadURL(url); CodeOf(err) != InvalidRequest {
			t.Errorf("%q: %v", url, err)
		}
	}
	for url, want := range map[string]bool{"upload://x": true, "Upload://": true, "https://upload://": false, "upload:/": false} {
		if IsUploadURL(url) != want {
			t.Errorf("IsUploadURL(%q) is %t", url, !want)
		}
	}
}
