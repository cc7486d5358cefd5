package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/wire"
)

// TestConformance walks the inputs of every operation that is answered. For each
// constraint of the model it makes a call that breaks this one alone, which must
// be refused in words that name the member, and calls at its bounds, which no
// constraint may refuse.
func TestConformance(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	arn := b.create("shop")
	bases := map[string]string{
		"CreateService":                           `{"ServiceName":"cart",` + image + `}`,
		"CreateAutoScalingConfiguration":          `{"AutoScalingConfigurationName":"fast"}`,
		"DescribeAutoScalingConfiguration":        scalingBody(defaultScaling),
		"DeleteAutoScalingConfiguration":          scalingBody(scalingARN("none")),
		"UpdateDefaultAutoScalingConfiguration":   scalingBody(defaultScaling),
		"ListServicesForAutoScalingConfiguration": scalingBody(defaultScaling),
		"ListServices":                            `{}`,
		"ListAutoScalingConfigurations":           `{}`,
		"CreateVpcConnector":                      `{"VpcConnectorName":"private","Subnets":["subnet-1"]}`,
		"DescribeVpcConnector":                    connectorBody(connectorARN("none", "1", "x")),
		"DeleteVpcConnector":                      connectorBody(connectorARN("none", "1", "x")),
		"ListVpcConnectors":                       `{}`,
		"CreateVpcIngressConnection":              `{"ServiceArn":"` + arn + `","VpcIngressConnectionName":"door","IngressVpcConfiguration":{"VpcId":"vpc-1","VpcEndpointId":"vpce-1"}}`,
		"DescribeVpcIngressConnection":            ingressBody(ingressARN("none", "x")),
		"UpdateVpcIngressConnection":              ingressBody(ingressARN("none", "x"), `"IngressVpcConfiguration":{}`),
		"DeleteVpcIngressConnection":              ingressBody(ingressARN("none", "x")),
		"ListVpcIngressConnections":               `{}`,
		"CreateConnection":                        `{"ConnectionName":"code","ProviderType":"GITHUB"}`,
		"ListConnections":                         `{}`,
		"DeleteConnection":                        connectionBody(prefix + "connection/none"),
		"CreateObservabilityConfiguration":        `{"ObservabilityConfigurationName":"traces"}`,
		"DescribeObservabilityConfiguration":      observabilityBody(defaultObservability),
		"ListObservabilityConfigurations":         `{}`,
		"DeleteObservabilityConfiguration":        observabilityBody(observabilityARN("none")),
		"TagResource":                             `{"ResourceArn":"` + arn + `","Tags":[]}`,
		"UntagResource":                           `{"ResourceArn":"` + arn + `","TagKeys":[]}`,
		"ListTagsForResource":                     `{"ResourceArn":"` + arn + `"}`,
	}
	for _, op := range []string{"DescribeService", "UpdateService", "DeleteService", "PauseService", "ResumeService", "StartDeployment", "ListOperations", "DescribeCustomDomains"} {
		bases[op] = arnBody(arn)
	}
	for _, op := range []string{"AssociateCustomDomain", "DisassociateCustomDomain"} {
		bases[op] = domainBody(arn, "example.com")
	}
	cases := 0
	for operation, base := range bases {
		model, ok := wire.OperationNamed(operation)
		if !ok {
			t.Fatalf("the model has no operation %s", operation)
		}
		walk(model.Input, nil, func(p path) {
			for _, c := range p.cases() {
				cases++
				b.try(operation, p.put(parse(t, base), c.value), p.name(), c)
			}
		})
	}
	if cases < 400 {
		t.Errorf("only %d cases: the walk misses constraints", cases)
	}
}

// step is one member, element or entry on the way into an input.
type step struct {
	name     string // of a member; "" for an element or entry
	shape    *wire.Shape
	required bool
	key      bool // the entry's key is meant, not its value
}

type path []step

// walk calls f for every place in a shape that can hold a value.
func walk(s *wire.Shape, p path, f func(path)) {
	extend := func(n step) {
		next := append(append(path{}, p...), n)
		f(next)
		walk(n.shape, next, f)
	}
	switch s.Kind {
	case wire.Structure:
		for _, m := range s.Members {
			extend(step{name: m.Name, shape: m.Shape, required: m.Required})
		}
	case wire.List:
		extend(step{shape: s.Elem})
	case wire.Map:
		extend(step{shape: s.Key, key: true})
		extend(step{shape: s.Elem})
	}
}

// name is the path as messages spell it. Maps end it: their entries are
// sensitive.
func (p path) name() string {
	var parts []string
	for i, s := range p {
		if i > 0 && p[i-1].shape.Kind == wire.Map {
			break
		}
		if s.name == "" {
			parts = append(parts, "1.member")
			continue
		}
		parts = append(parts, strings.ToLower(s.name[:1])+s.name[1:])
	}
	return strings.Join(parts, ".")
}

// try is one value at a path: constraint is what it breaks, "" for nothing.
type try struct {
	value      any
	constraint string
}

type absent struct{}

// cases are the values to try at the end of the path.
func (p path) cases() []try {
	last := p[len(p)-1]
	var list []try
	if last.required {
		list = append(list, try{absent{}, "Member must not be null"}, try{nil, "Member must not be null"})
	}
	if last.name == "" && !last.key {
		list = append(list, try{nil, "Member must not be null"})
	}
	switch last.shape.Kind {
	case wire.Integer:
		list = append(list, integers(last.shape)...)
	case wire.String:
		list = append(list, lengths(last.shape)...)
	}
	return list
}

func integers(s *wire.Shape) (list []try) {
	if s.HasMin {
		list = append(list, try{s.Min, ""}, try{s.Min - 1, fmt.Sprintf("Member must have value greater than or equal to %d", s.Min)})
	}
	if s.HasMax {
		list = append(list, try{s.Max, ""}, try{s.Max + 1, fmt.Sprintf("Member must have value less than or equal to %d", s.Max)})
	}
	return list
}

func lengths(s *wire.Shape) (list []try) {
	if s.Enum != nil {
		for _, v := range s.Enum {
			list = append(list, try{v, ""})
		}
		return append(list, try{"OTHER", "Member must satisfy enum value set: [" + strings.Join(s.Enum, ", ") + "]"})
	}
	if s.HasMin && s.Min > 0 {
		list = append(list, try{text(s, s.Min-1), fmt.Sprintf("Member must have length greater than or equal to %d", s.Min)})
	}
	if s.HasMax {
		list = append(list, try{text(s, s.Max+1), fmt.Sprintf("Member must have length less than or equal to %d", s.Max)})
	}
	for _, v := range legal(s) {
		list = append(list, try{v, ""})
	}
	if s.Pattern != nil {
		wrong, ok := mismatches[s.Name]
		if !ok {
			panic("no text that the pattern of " + s.Name + " refuses: add one")
		}
		list = append(list, try{wrong, "Member must satisfy regular expression pattern: " + s.Pattern.Text})
	}
	return list
}

// mismatches are of a legal length and break the pattern of their shape alone.
var mismatches = map[string]string{
	"AppRunnerResourceArn":           "arn:aws:apprunner:us-east-1:12:service/x",
	"AutoScalingConfigurationName":   "-fast",
	"ConnectionName":                 "-code",
	"ObservabilityConfigurationName": "-traces",
	"ServiceName":                    "my shop",
	"DomainName":                     "example_com",
	"VpcConnectorName":               "-private",
	"VpcIngressConnectionName":       "-private",
	"RoleArn":                        "arn:aws:iam::000000000000:user/someone",
	"KmsKeyArn":                      "arn:aws:kms:us-east-1:000000000000:alias/x",
	"TagKey":                         "aws:key",
	"Cpu":                            "25600",
	"Memory":                         "12288M",
	"BuildCommand":                   "a\nb",
	"StartCommand":                   "a\rb",
	"SourceDirectory":                "/a\x00b",
}

// beginnings make a text match its shape's pattern however it goes on.
var beginnings = map[string]string{
	"AppRunnerResourceArn": prefix + "service/",
	"RoleArn":              "arn:aws:iam::000000000000:role/",
}

// text is a text of n characters that matches the shape's pattern, where one
// of this length can.
func text(s *wire.Shape, n int) string {
	begin := beginnings[s.Name]
	return begin[:min(n, len(begin))] + strings.Repeat("a", max(0, n-len(begin)))
}

// legal are texts at the shape's bounds that match its pattern.
func legal(s *wire.Shape) []any {
	switch s.Name {
	case "Cpu":
		return []any{"256", "0.25 vCPU"} // the shortest and the longest
	case "Memory":
		return []any{"512", "0.5 GB"}
	case "KmsKeyArn":
		return []any{"arn:aws:kms:us-east-1:000000000000:key/01234567-89ab-cdef-0123-456789abcdef"}
	}
	var list []any
	if s.HasMin && s.Min >= len(beginnings[s.Name])+1 {
		list = append(list, text(s, s.Min))
	}
	if s.HasMax {
		list = append(list, text(s, s.Max))
	}
	return list
}

// put returns the document with the value at the path; what is missing on the
// way is made with all that it requires.
func (p path) put(doc map[string]any, value any) string {
	var at any = doc
	set := func(any) {}
	for i, s := range p {
		set, at = enter(at, set, s)
		if i == len(p)-1 {
			break
		}
		if at == nil {
			at = sample(s.shape)
			set(at)
		}
	}
	set(value)
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// enter goes one step into a container. It returns how to set what is there,
// and what is.
func enter(container any, replace func(any), s step) (set func(any), value any) {
	switch c := container.(type) {
	case map[string]any:
		switch {
		case s.key:
			return func(v any) { clear(c); c[v.(string)] = "v" }, nil
		case s.name == "":
			return func(v any) { clear(c); c["k"] = v }, nil
		}
		return func(v any) {
			if _, ok := v.(absent); ok {
				delete(c, s.name)
				return
			}
			c[s.name] = v
		}, c[s.name]
	case []any:
		return func(v any) { replace([]any{v}) }, nil
	}
	panic(fmt.Sprintf("%T is no container", container))
}

// sample is a small legal value of a shape.
func sample(s *wire.Shape) any {
	switch s.Kind {
	case wire.Structure:
		object := map[string]any{}
		for _, m := range s.Members {
			if m.Required {
				object[m.Name] = sample(m.Shape)
			}
		}
		if s.Name == "Tag" { // a tag needs a key, though the model does not say so
			object["Key"] = "k"
		}
		return object
	case wire.List:
		return []any{}
	case wire.Map:
		return map[string]any{}
	case wire.Integer:
		return s.Min
	case wire.Boolean:
		return true
	}
	if s.Enum != nil {
		return s.Enum[0]
	}
	if l := legal(s); l != nil && len(l[0].(string)) < 100 {
		return l[0]
	}
	return text(s, max(s.Min, len(beginnings[s.Name])+1))
}

func (b *bench) try(operation, body, member string, c try) {
	b.Helper()
	w := b.Send(b.Request("AppRunner."+operation, body))
	message, _ := w.Doc["Message"].(string)
	if c.constraint == "" {
		if w.Code >= 500 || strings.Contains(message, "validation error") {
			b.Errorf("%s, at a bound of %s: %d %.300s\nbody: %.300s", operation, member, w.Code, w.Body, body)
		}
		return
	}
	ok := w.Code == 400 && w.Doc["__type"] == "InvalidRequestException" &&
		(strings.HasPrefix(message, "1 validation error detected: ") || strings.HasPrefix(message, "2 validation errors detected: "))
	cut := strings.HasSuffix(message, "...") // at the model's limit of messages
	if !ok || !strings.Contains(message, " at '"+member+"' failed to satisfy constraint: ") || !strings.Contains(message, c.constraint) && !cut {
		b.Errorf("%s without %q at %s: %d %.400s\nbody: %.300s", operation, c.constraint, member, w.Code, w.Body, body)
	}
}

// Every operation of the model is answered, but for those named here; nothing
// panics without a body.
func TestEveryOperation(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name := range wire.Operations() {
		w := b.Send(b.Request("AppRunner."+name, "{}"))
		if w.Doc["__type"] == "UnknownOperationException" || w.Code >= 500 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
