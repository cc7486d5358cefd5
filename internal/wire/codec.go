package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/middleware"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Marshal encodes one of the SDK's output structs as AWS JSON 1.0.
//
// Times are seconds since 1970 with milliseconds. Unset fields (nil pointers,
// lists and maps, empty enumerated values, ResultMetadata) are left out. false,
// 0, "" behind a pointer and empty lists are written: some SDKs treat a missing
// member as absent.
func Marshal(v any) ([]byte, error) {
	b, err := json.Marshal(v,
		json.WithMarshalers(marshalers),
		json.FormatNilSliceAsNull(true),
		json.FormatNilMapAsNull(true),
		json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return dropNulls(b)
}

// marshalers write null for whatever dropNulls will remove.
//
// Option OmitZeroStructFields is not used: it would also remove false and 0 of
// members that are not pointers (IsPubliclyAccessible, ObservabilityEnabled).
var marshalers = json.JoinMarshalers(
	json.MarshalToFunc(func(e *jsontext.Encoder, _ middleware.Metadata) error {
		return e.WriteToken(jsontext.Null)
	}),
	json.MarshalToFunc(func(e *jsontext.Encoder, t time.Time) error {
		return e.WriteValue(strconv.AppendFloat(nil, float64(t.UnixMilli())/1000, 'f', -1, 64))
	}),
	// Enumerated types are the only named string types of the SDK's structs.
	json.MarshalToFunc(func(e *jsontext.Encoder, v any) error {
		r := reflect.Indirect(reflect.ValueOf(v))
		if r.Kind() != reflect.String || r.Type() == reflect.TypeFor[string]() || r.String() != "" {
			return errors.ErrUnsupported
		}
		return e.WriteToken(jsontext.Null)
	}),
)

// dropNulls removes the members whose value is null from every object.
func dropNulls(b []byte) ([]byte, error) {
	d := jsontext.NewDecoder(bytes.NewReader(b))
	var out bytes.Buffer
	e := jsontext.NewEncoder(&out, jsontext.PreserveRawStrings(true))
	for {
		t, err := d.ReadToken()
		if err == io.EOF {
			return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
		}
		if err != nil {
			return nil, err
		}
		if kind, n := d.StackIndex(d.StackDepth()); kind == '{' && n%2 == 1 && t.Kind() == '"' {
			t = t.Clone() // PeekKind may move the buffer that the token points into
			if d.PeekKind() == 'n' {
				if err := d.SkipValue(); err != nil {
					return nil, err
				}
				continue
			}
		}
		if err := e.WriteToken(t); err != nil {
			return nil, err
		}
	}
}

// Unmarshal decodes an AWS JSON 1.0 body into one of the SDK's input structs,
// which v points to. An empty body is an empty object; unknown members are
// ignored; null means absent. Any other fault of the text or of a value's type
// is a SerializationException, whose message never repeats the value.
func Unmarshal(body []byte, v any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return NewException(SerializationException, describeError(err, reflect.TypeOf(v)))
	}
	return nil
}

// describeError describes a decoding error without the values it is about.
func describeError(err error, into reflect.Type) string {
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		what := "is not valid JSON"
		if errors.Is(err, jsontext.ErrDuplicateName) {
			what = "has an object that names a member twice"
		}
		return fmt.Sprintf("The request body %s (at byte %d).", what, s.ByteOffset)
	}
	s, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return "The request body is not valid JSON."
	}
	where := path(s.JSONPointer, into)
	if where == "" {
		return "The request body must be a JSON object."
	}
	return fmt.Sprintf("%s (member %s)", mismatch(s.JSONKind, s.GoType), where)
}

// mismatch says which JSON value can't become which type, in AWS's words.
func mismatch(got jsontext.Kind, want reflect.Type) string {
	name := typeName(want)
	switch got {
	case '{', '[':
		return "Start of structure or map found where not expected: " + name + " required."
	case '"':
		return "STRING_VALUE can not be converted to " + name
	case '0':
		return "NUMBER_VALUE can not be converted to " + name
	case 't':
		return "TRUE_VALUE can not be converted to " + name
	case 'f':
		return "FALSE_VALUE can not be converted to " + name
	}
	return "The value can not be converted to " + name
}

func typeName(t reflect.Type) string {
	if t == nil {
		return "the member's type"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.String:
		return "String"
	case reflect.Bool:
		return "Boolean"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "Integer"
	case reflect.Slice:
		return "List"
	case reflect.Map:
		return "Map"
	}
	return "Structure"
}

// path turns a JSON pointer into the member path of an error message. It ends
// at a map: a map's keys (names of environment variables, for one) are the
// caller's data.
func path(p jsontext.Pointer, t reflect.Type) string {
	var parts []string
	for token := range p.Tokens() {
		for t != nil && t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch {
		case t == nil || t.Kind() == reflect.Map:
			return strings.Join(parts, ".")
		case t.Kind() == reflect.Slice:
			parts = append(parts, ordinal(token), "member")
			t = t.Elem()
		case t.Kind() == reflect.Struct:
			f, ok := field(t, token)
			if !ok {
				return strings.Join(parts, ".")
			}
			parts = append(parts, lowerFirst(token))
			t = f.Type
		}
	}
	return strings.Join(parts, ".")
}

// field returns the field that holds a member.
func field(t reflect.Type, member string) (reflect.StructField, bool) {
	if f, ok := t.FieldByName(member); ok {
		return f, true
	}
	for f := range t.Fields() {
		if f.Tag.Get("json") == member {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func ordinal(index string) string {
	n, err := strconv.Atoi(index)
	if err != nil {
		return index
	}
	return strconv.Itoa(n + 1)
}
