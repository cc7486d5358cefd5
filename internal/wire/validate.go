package wire

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// Validate checks a request body against every constraint of the operation's
// input and returns nil or one InvalidRequestException that lists the
// violations in App Runner's words. Call it after Unmarshal accepted the body.
//
// It reads the text and not the decoded struct, which no longer distinguishes
// an absent element ({"Tags":[null]}) or an absent boolean from an empty one.
func (o *Operation) Validate(body []byte) error {
	var doc any
	if len(strings.TrimSpace(string(body))) > 0 {
		if err := json.Unmarshal(body, &doc); err != nil {
			return NewException(SerializationException, describeError(err, nil))
		}
	}
	if doc == nil {
		doc = map[string]any{}
	}
	var v violations
	v.check(o.Input, "", doc)
	return v.exception()
}

// violations collects the violations in a document.
type violations []string

func (v violations) exception() error {
	if len(v) == 0 {
		return nil
	}
	plural := "s"
	if len(v) == 1 {
		plural = ""
	}
	return NewException(InvalidRequestException,
		fmt.Sprintf("%d validation error%s detected: %s", len(v), plural, strings.Join(v, "; ")))
}

// add records that the value at path breaks a constraint.
func (v *violations) add(s *Shape, path string, value any, constraint string) {
	*v = append(*v, fmt.Sprintf("Value%s at '%s' failed to satisfy constraint: %s", quoteValue(s, value), path, constraint))
}

// quoteValue formats the value for a message: nothing if it is sensitive, the
// beginning if it is long.
func quoteValue(s *Shape, value any) string {
	const most = 128
	switch x := value.(type) {
	case nil:
		return " null"
	case string:
		if s.Sensitive {
			return ""
		}
		return " '" + shorten(x, most) + "'"
	case float64:
		return " '" + strconv.FormatFloat(x, 'f', -1, 64) + "'"
	}
	return ""
}

const notNull = "Member must not be null"

// check descends into a value that is not null. A kind that does not match is
// Unmarshal's to refuse and is skipped here.
func (v *violations) check(s *Shape, path string, value any) {
	switch s.Kind {
	case Structure:
		if object, ok := value.(map[string]any); ok {
			v.checkMembers(s, path, object)
		}
	case List:
		if list, ok := value.([]any); ok {
			v.checkList(s, path, list)
		}
	case Map:
		if object, ok := value.(map[string]any); ok {
			v.checkMap(s, path, object)
		}
	default:
		for _, c := range breaches(s, value) {
			v.add(s, path, value, c)
		}
	}
}

func (v *violations) checkMembers(s *Shape, path string, object map[string]any) {
	for _, m := range s.Members {
		p := join(path, lowerFirst(m.Name))
		value := object[m.Name]
		switch {
		case value != nil:
			v.check(m.Shape, p, value)
		case m.Required:
			v.add(m.Shape, p, nil, notNull)
		}
	}
}

func (v *violations) checkList(s *Shape, path string, list []any) {
	for i, value := range list {
		p := join(path, strconv.Itoa(i+1)+".member")
		if value == nil {
			v.add(s.Elem, p, nil, notNull)
			continue
		}
		v.check(s.Elem, p, value)
	}
}

// checkMap names neither keys nor values: in this model both are sensitive in
// every map. Each constraint is reported once, however many entries break it.
func (v *violations) checkMap(s *Shape, path string, object map[string]any) {
	var keys, values []string
	for _, key := range slices.Sorted(maps.Keys(object)) {
		value := object[key]
		keys = union(keys, breaches(s.Key, key))
		if value == nil {
			values = union(values, []string{notNull})
			continue
		}
		values = union(values, breaches(s.Elem, value))
	}
	hidden := &Shape{Sensitive: true}
	if len(keys) > 0 {
		v.add(hidden, path, "", "Map keys must satisfy constraint: ["+strings.Join(keys, ", ")+"]")
	}
	if len(values) > 0 {
		v.add(hidden, path, "", "Map value must satisfy constraint: ["+strings.Join(values, ", ")+"]")
	}
}

// union appends the elements of b that are not in a.
func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// breaches lists the constraints that a string or integer breaks.
func breaches(s *Shape, value any) []string {
	switch x := value.(type) {
	case string:
		return stringBreaches(s, x)
	case float64:
		var list []string
		if s.HasMax && x > float64(s.Max) {
			list = append(list, fmt.Sprintf("Member must have value less than or equal to %d", s.Max))
		}
		if s.HasMin && x < float64(s.Min) {
			list = append(list, fmt.Sprintf("Member must have value greater than or equal to %d", s.Min))
		}
		return list
	}
	return nil
}

// stringBreaches reports only the length of a text that is too short: its
// pattern requires the same length again.
func stringBreaches(s *Shape, x string) []string {
	length := utf8.RuneCountInString(x)
	if s.HasMin && length < s.Min {
		return []string{fmt.Sprintf("Member must have length greater than or equal to %d", s.Min)}
	}
	var list []string
	if s.Enum != nil && !slices.Contains(s.Enum, x) {
		list = append(list, "Member must satisfy enum value set: ["+strings.Join(s.Enum, ", ")+"]")
	}
	if s.Pattern != nil && !s.Pattern.Match(x) {
		list = append(list, "Member must satisfy regular expression pattern: "+s.Pattern.Text)
	}
	if s.HasMax && length > s.Max {
		list = append(list, fmt.Sprintf("Member must have length less than or equal to %d", s.Max))
	}
	return list
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// lowerFirst spells a member's name as App Runner's messages do.
func lowerFirst(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToLower(s[:1]) + s[1:]
}
