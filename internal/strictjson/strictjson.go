// Package strictjson decodes JSON documents that others read too: it refuses what two
// readers may understand differently. encoding/json takes the last of two members of one
// name, and takes "Layers" for "layers"; other readers take the first, or ignore it.
//
// It decodes as encoding/json does otherwise. Packages image and ecr use it for manifests,
// configurations and lifecycle policies; package wire and package policy have rules of
// their own.
package strictjson

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// ErrAmbiguous is wrapped by errors about a document that two readers may understand
// differently.
var ErrAmbiguous = errors.New("readers may understand it differently")

// Unmarshal decodes text into the value that v points to, which must be its zero value. It
// refuses with ErrAmbiguous an object that names a member twice, and one that names a
// member of v in another letter case.
func Unmarshal(text []byte, v any) error {
	decode := func(into any, fold bool) error {
		return json.Unmarshal(text, into, jsonv1.DefaultOptionsV1(), jsontext.AllowDuplicateNames(false),
			jsontext.AllowInvalidUTF8(false), jsonv1.ReportErrorsWithLegacySemantics(false), json.MatchCaseInsensitiveNames(fold))
	}
	if err := decode(v, false); err != nil {
		return explain(err)
	}
	folded := reflect.New(reflect.TypeOf(v).Elem())
	if err := decode(folded.Interface(), true); err != nil {
		return explain(err)
	}
	if !reflect.DeepEqual(folded.Interface(), v) {
		return fmt.Errorf("it has a member whose name differs from a known one only in letter case: %w", ErrAmbiguous)
	}
	return nil
}

func explain(err error) error {
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok && errors.Is(err, jsontext.ErrDuplicateName) {
		return fmt.Errorf("an object names a member twice (at byte %d, %s): %w", s.ByteOffset, s.JSONPointer, ErrAmbiguous)
	}
	return err
}
