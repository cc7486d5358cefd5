package wire

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/middleware"
)

// The query protocol of older services (IAM, STS): a call is a form with the
// operation in Action, an answer is XML.
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html

// queryTime is the format of times: to the second, as IAM and STS write them.
const queryTime = "2006-01-02T15:04:05Z"

// Limits of a form: members of a list, and bytes of a field's name. Both bound
// the work that a caller can cause.
const (
	maxMembers = 1000
	maxField   = 256
)

// UnmarshalQuery decodes a form into one of the SDK's input structs, which v
// points to. Unknown fields are ignored; an empty field is an empty value. A
// value of the wrong type is a MalformedInput, whose message never repeats the
// value.
func UnmarshalQuery(form url.Values, v any) error {
	names := map[string]bool{} // every prefix of a field's name up to a dot
	for name := range form {
		if len(name) > maxField {
			return NewException(MalformedInput, fmt.Sprintf("A field has a name longer than %d bytes", maxField))
		}
		for i := 0; i >= 0; {
			next := strings.IndexByte(name[i:], '.')
			if next < 0 {
				names[name] = true
				break
			}
			names[name[:i+next]] = true
			i += next + 1
		}
	}
	q := query{form, names}
	return q.structure("", reflect.ValueOf(v).Elem())
}

type query struct {
	form  url.Values
	names map[string]bool
}

func (q query) structure(prefix string, v reflect.Value) error {
	for f, value := range v.Fields() {
		if !f.IsExported() || f.Type == reflect.TypeFor[middleware.Metadata]() {
			continue
		}
		name := f.Name
		if prefix != "" {
			name = prefix + "." + name
		}
		if err := q.value(name, value); err != nil {
			return err
		}
	}
	return nil
}

// value decodes the field of this name, or the fields whose names begin with
// it.
func (q query) value(name string, v reflect.Value) error {
	if !q.names[name] {
		return nil
	}
	text := q.form.Get(name)
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return q.value(name, v.Elem())
	case reflect.String:
		v.SetString(text)
		return nil
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		v.SetBool(b)
		return q.wrong(name, err)
	case reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		v.SetInt(n)
		return q.wrong(name, err)
	case reflect.Slice:
		return q.list(name, v)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			t, err := time.Parse(time.RFC3339, text)
			v.Set(reflect.ValueOf(t))
			return q.wrong(name, err)
		}
		return q.structure(name, v)
	}
	return fmt.Errorf("decode a form into a %s, which the query protocol does not know", v.Type())
}

// list decodes <name>.member.1, .2 and so on, up to the first missing one.
// <name> without members is the empty list.
func (q query) list(name string, v reflect.Value) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for i := 1; ; i++ {
		member := name + ".member." + strconv.Itoa(i)
		if !q.names[member] {
			return nil
		}
		if i > maxMembers {
			return NewException(MalformedInput, fmt.Sprintf("%s has more than %d members", name, maxMembers))
		}
		e := reflect.New(v.Type().Elem()).Elem()
		if err := q.value(member, e); err != nil {
			return err
		}
		v.Set(reflect.Append(v, e))
	}
}

func (q query) wrong(name string, err error) error {
	if err == nil {
		return nil
	}
	return NewException(MalformedInput, fmt.Sprintf("The value of %s has the wrong form", name))
}

// MarshalQuery encodes one of the SDK's output structs as the answer to an
// operation of a service with this XML namespace. nil is an answer without a
// result.
func MarshalQuery(namespace, operation, requestID string, out any) ([]byte, error) {
	var b bytes.Buffer
	e := xml.NewEncoder(&b)
	w := xmlWriter{e}
	response := xml.StartElement{
		Name: xml.Name{Local: operation + "Response"},
		Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}},
	}
	err := w.element(response, func() error {
		if r := reflect.Indirect(reflect.ValueOf(out)); r.IsValid() && len(exported(r.Type())) > 0 {
			if err := w.value(operation+"Result", r); err != nil {
				return err
			}
		}
		return w.named("ResponseMetadata", func() error { return w.text("RequestId", requestID) })
	})
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", out, err)
	}
	return b.Bytes(), nil
}

// QueryBody returns the exception in the query protocol's form.
func (e *Exception) QueryBody(namespace, requestID string) []byte {
	var b bytes.Buffer
	enc := xml.NewEncoder(&b)
	w := xmlWriter{enc}
	fault := "Sender"
	if e.Status >= 500 {
		fault = "Receiver"
	}
	root := xml.StartElement{Name: xml.Name{Local: "ErrorResponse"}}
	if namespace != "" {
		root.Attr = []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}
	}
	err := w.element(root, func() error {
		err := w.named("Error", func() error {
			for _, part := range [][2]string{{"Type", fault}, {"Code", e.Name}, {"Message", shorten(e.Message, maxMessage)}} {
				if err := w.text(part[0], part[1]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return w.text("RequestId", requestID)
	})
	if err == nil {
		err = enc.Close()
	}
	if err != nil { // a buffer accepts everything, and shorten made the text valid
		panic(err)
	}
	return b.Bytes()
}

type xmlWriter struct{ e *xml.Encoder }

func (w xmlWriter) element(start xml.StartElement, inner func() error) error {
	if err := w.e.EncodeToken(start); err != nil {
		return err
	}
	if err := inner(); err != nil {
		return err
	}
	return w.e.EncodeToken(start.End())
}

func (w xmlWriter) named(name string, inner func() error) error {
	return w.element(xml.StartElement{Name: xml.Name{Local: name}}, inner)
}

func (w xmlWriter) text(name, s string) error {
	return w.named(name, func() error { return w.e.EncodeToken(xml.CharData(s)) })
}

// value writes a value as an element. Unset values are left out, as in JSON.
func (w xmlWriter) value(name string, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return w.value(name, v.Elem())
	case reflect.String:
		if v.Type() != reflect.TypeFor[string]() && v.Len() == 0 {
			return nil // an unset enumerated value
		}
		return w.text(name, v.String())
	case reflect.Bool, reflect.Int32, reflect.Int64:
		return w.text(name, fmt.Sprint(v.Interface()))
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		return w.named(name, func() error {
			for i := range v.Len() {
				if err := w.value("member", v.Index(i)); err != nil {
					return err
				}
			}
			return nil
		})
	case reflect.Map:
		return w.entries(name, v)
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			return w.text(name, t.UTC().Format(queryTime))
		}
		return w.named(name, func() error {
			for _, f := range exported(v.Type()) {
				if err := w.value(f.Name, v.FieldByIndex(f.Index)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return fmt.Errorf("a %s, which the query protocol does not know", v.Type())
}

// entries writes a map with strings as keys.
func (w xmlWriter) entries(name string, v reflect.Value) error {
	if v.IsNil() {
		return nil
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return w.named(name, func() error {
		for _, key := range keys {
			err := w.named("entry", func() error {
				if err := w.text("key", key.String()); err != nil {
					return err
				}
				return w.value("value", v.MapIndex(key))
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// exported returns the fields of a struct that are members of its shape.
func exported(t reflect.Type) []reflect.StructField {
	var list []reflect.StructField
	for f := range t.Fields() {
		if f.IsExported() && f.Type != reflect.TypeFor[middleware.Metadata]() {
			list = append(list, f)
		}
	}
	return list
}
