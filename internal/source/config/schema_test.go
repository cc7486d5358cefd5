package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/openslipway/slipway/internal/source/config"
)

// TestSchemaIsPublished keeps docs/apprunner.schema.json what the code says; -update
// writes it anew.
func TestSchemaIsPublished(t *testing.T) {
	t.Parallel()
	const file = "../../../docs/apprunner.schema.json"
	got := config.Schema()
	if *update {
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) || !json.Valid(got) {
		t.Errorf("%s is not current (-update writes it anew)", file)
	}
}
