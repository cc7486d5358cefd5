package ssm

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/wire"
)

// filter selects parameters by one of their attributes.
type filter struct {
	Key, Option string
	Values      []string
}

type filters []filter

// options lists the options of each key. The key of a filter by tag is "tag:" and
// the tag's key.
var options = map[string][]string{
	"Name":     {"Equals", "BeginsWith", "Contains"},
	"Path":     {"OneLevel", "Recursive"},
	"Type":     {"Equals", "BeginsWith"},
	"KeyId":    {"Equals", "BeginsWith"},
	"Tier":     {"Equals"},
	"DataType": {"Equals"},
	"Label":    {"Equals"},
}

// newFilters checks filters. They may use the given keys; filters that may use
// names may use tags too.
func newFilters(in []types.ParameterStringFilter, keys ...string) (filters, error) {
	var list filters
	for _, f := range in {
		key := aws.ToString(f.Key)
		allowed, known := options[key], slices.Contains(keys, key)
		if strings.HasPrefix(key, "tag:") && slices.Contains(keys, "Name") {
			allowed, known = []string{"Equals"}, true
		}
		if !known {
			return nil, wire.NewException("InvalidFilterKey", "The filter key is not one of "+strings.Join(keys, ", ")+".")
		}
		option := aws.ToString(f.Option)
		if option == "" {
			option = allowed[0]
		}
		if !slices.Contains(allowed, option) {
			return nil, wire.NewException("InvalidFilterOption", "The filter option for "+key+" is not one of "+strings.Join(allowed, ", ")+".")
		}
		if len(f.Values) == 0 && !strings.HasPrefix(key, "tag:") {
			return nil, wire.NewException("InvalidFilterValue", "The filter for "+key+" has no values.")
		}
		list = append(list, filter{key, option, f.Values})
	}
	return list, nil
}

// upgrade converts filters of the older kind, which match prefixes.
func upgrade(in []types.ParametersFilter) []types.ParameterStringFilter {
	var list []types.ParameterStringFilter
	for _, f := range in {
		list = append(list, types.ParameterStringFilter{Key: aws.String(string(f.Key)), Option: aws.String("BeginsWith"), Values: f.Values})
	}
	return list
}

// pass reports whether a parameter passes every filter.
func (l filters) pass(p slipway.Parameter, tags []slipway.Tag) bool {
	for _, f := range l {
		if !f.pass(p, tags) {
			return false
		}
	}
	return true
}

func (f filter) pass(p slipway.Parameter, tags []slipway.Tag) bool {
	if key, ok := strings.CutPrefix(f.Key, "tag:"); ok {
		return slices.ContainsFunc(tags, func(t slipway.Tag) bool {
			return t.Key == key && (len(f.Values) == 0 || slices.Contains(f.Values, t.Value))
		})
	}
	text := map[string]string{
		"Name": p.Name, "Path": p.Name, "Type": p.Type, "KeyId": p.KeyID, "Tier": p.Tier, "DataType": p.DataType,
	}[f.Key]
	return slices.ContainsFunc(f.Values, func(v string) bool {
		switch f.Option {
		case "BeginsWith":
			return strings.HasPrefix(text, v)
		case "Contains":
			return strings.Contains(text, v)
		case "Recursive", "OneLevel":
			return below(text, v, f.Option == "Recursive")
		}
		return text == v
	})
}

// below reports whether a parameter is in the hierarchy under a path, at any
// depth or directly. A name without a slash is at the root, as in AWS
// (https://github.com/getmoto/moto/issues/1700).
func below(name, path string, recursive bool) bool {
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(path, "/")+"/")
	return ok && (recursive || !strings.Contains(rest, "/"))
}
