package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/wire"
	"github.com/openslipway/slipway/internal/wire/modeltest"
)

// widened holds the patterns that are not enforced, by shape, and why. Nothing else
// that the model refuses is accepted.
var widened = map[string]string{
	"ImageIdentifier": "images come from any registry, not only from ECR; the reference's form is checked",
}

// narrowed holds the members, as structure and name, that are required here and
// not in the model, and why.
var narrowed = map[string]string{"Tag.Key": "a tag must have a key"}

// TestConformance generates calls from the service model: it walks the inputs of
// all operations. For each constraint it makes calls that break only this one. The
// modelled exception must refuse them, with a message that names the member and
// the constraint and nothing else. It also makes calls at the bounds, which no
// constraint may refuse.
func TestConformance(t *testing.T) {
	t.Parallel()
	model := modeltest.Load(t)
	if len(model.Operations) != 37 {
		t.Fatalf("the model has %d operations, not 37", len(model.Operations))
	}
	kinds := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(model.Operations)) {
		op := model.Operations[name]
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			walk(op.Input, nil, func(p way) {
				for _, c := range p.cases() {
					kinds[c.kind]++
					b.try(op, p, c)
				}
			})
		})
	}
	t.Logf("cases: %v", kinds)
	for kind, least := range map[string]int{"required": 100, "type": 150, "length": 100, "range": 35, "pattern": 100, "enum": 15, "bound": 300} {
		if kinds[kind] < least {
			t.Errorf("only %d cases of kind %s, at least %d expected: the walk misses constraints", kinds[kind], kind, least)
		}
	}
}

// step is one member, element or entry on the way into an input.
type step struct {
	name     string // of a member; "" for an element or entry
	shape    *modeltest.Shape
	required bool
	key      bool // it is the entry's key, not its value
}

type way []step

// walk calls f for every place in a shape that can hold a value.
func walk(s *modeltest.Shape, p way, f func(way)) {
	extend := func(n step) {
		next := append(append(way{}, p...), n)
		f(next)
		walk(n.shape, next, f)
	}
	switch s.Type {
	case "structure":
		for _, m := range s.Members {
			extend(step{name: m.Name, shape: m.Shape, required: m.Required})
		}
	case "list":
		extend(step{shape: s.Elem})
	case "map":
		extend(step{shape: s.Key, key: true})
		extend(step{shape: s.Elem})
	}
}

// name returns the path as messages spell it. It ends at a map, whose entries are
// sensitive.
func (p way) name() string {
	var parts []string
	for i, s := range p {
		if i > 0 && p[i-1].shape.Type == "map" {
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

// try is one value at a path.
type try struct {
	kind   string // "required", "type", "length", "range", "pattern", "enum", or "bound" for one that breaks nothing
	value  any
	breaks []string // constraints in the words of messages; for kind "type" none
}

type absent struct{}

const notNull = "Member must not be null"

// cases are the values to try at the end of the path.
func (p way) cases() []try {
	last := p[len(p)-1]
	if len(p) > 1 && narrowed[p[len(p)-2].shape.Name+"."+last.name] != "" {
		last.required = true
	}
	var list []try
	if last.required {
		list = append(list, try{"required", absent{}, []string{notNull}})
	}
	if last.required || last.name == "" && !last.key { // an element can't be null
		list = append(list, try{"required", nil, []string{notNull}})
	} else if !last.key {
		list = append(list, try{"bound", nil, nil}) // null is absent
	}
	if !last.key { // keys are always strings
		for _, v := range wrongTypes[last.shape.Type] {
			list = append(list, try{"type", v, nil})
		}
	}
	switch last.shape.Type {
	case "integer":
		list = append(list, integers(last.shape)...)
	case "boolean":
		list = append(list, try{"bound", true, nil}, try{"bound", false, nil})
	case "string":
		list = append(list, texts(last.shape)...)
	}
	return list
}

var wrongTypes = map[string][]any{
	"structure": {"x", 1, []any{}},
	"list":      {"x", 1, map[string]any{}},
	"map":       {"x", 1, []any{}},
	"string":    {1, true, map[string]any{}, []any{}},
	"integer":   {"1", true, 1.5, map[string]any{}},
	"boolean":   {"true", 1, []any{}},
}

func integers(s *modeltest.Shape) (list []try) {
	for _, n := range []*int{s.Min, s.Max} {
		if n == nil {
			continue
		}
		for _, v := range []int{*n - 1, *n, *n + 1} {
			list = append(list, judged(s, v, "range"))
		}
	}
	if s.Max == nil {
		list = append(list, judged(s, 1<<31-1, "range"))
	}
	return list
}

// judged returns the case of a value with all constraints that it breaks; kind is
// the expected one.
func judged(s *modeltest.Shape, value any, kind string) try {
	breaks := breaches(s, value)
	if len(breaks) == 0 {
		kind = "bound"
	}
	return try{kind, value, breaks}
}

// breaches lists the constraints that a value breaks.
func breaches(s *modeltest.Shape, value any) (list []string) {
	switch v := value.(type) {
	case int:
		if s.Min != nil && v < *s.Min {
			list = append(list, fmt.Sprintf("Member must have value greater than or equal to %d", *s.Min))
		}
		if s.Max != nil && v > *s.Max {
			list = append(list, fmt.Sprintf("Member must have value less than or equal to %d", *s.Max))
		}
	case string:
		if s.Enum != nil {
			if !slices.Contains(s.Enum, v) {
				list = append(list, "Member must satisfy enum value set: ["+strings.Join(s.Enum, ", ")+"]")
			}
			return list
		}
		if s.Min != nil && utf8.RuneCountInString(v) < *s.Min { // the pattern requires that length too
			return []string{fmt.Sprintf("Member must have length greater than or equal to %d", *s.Min)}
		}
		if s.Max != nil && utf8.RuneCountInString(v) > *s.Max {
			list = append(list, fmt.Sprintf("Member must have length less than or equal to %d", *s.Max))
		}
		if !s.Matches(v) && widened[s.Name] == "" {
			list = append(list, "Member must satisfy regular expression pattern: "+s.Pattern)
		}
	}
	return list
}

// texts returns strings at the bounds of a shape's length and pattern, on both
// sides.
func texts(s *modeltest.Shape) (list []try) {
	if s.Enum != nil {
		for _, v := range s.Enum {
			list = append(list, judged(s, v, "enum"))
		}
		return append(list, judged(s, "OTHER", "enum"), judged(s, "", "enum"), judged(s, strings.ToLower(s.Enum[0]), "enum"))
	}
	good := matching(s)
	shortest := slices.MinFunc(good, func(a, b string) int { return len(a) - len(b) })
	if s.Min != nil && *s.Min > 0 {
		list = append(list, judged(s, shortest[:min(len(shortest), *s.Min-1)], "length"))
	}
	if s.Max != nil {
		list = append(list, judged(s, grown(s, *s.Max+1), "length"))
		if longest := grown(s, *s.Max); s.Matches(longest) {
			list = append(list, judged(s, longest, "length"))
		}
		if s.Pattern == ".*" { // characters count, not bytes
			list = append(list, judged(s, strings.Repeat("é", *s.Max), "length"), judged(s, strings.Repeat("\n", *s.Max), "length"))
		}
	}
	for _, v := range good {
		list = append(list, judged(s, v, "pattern"))
	}
	for _, v := range mismatching(s, good) {
		list = append(list, judged(s, v, "pattern"))
	}
	return list
}

// grown returns a text of n characters that matches where its beginning does.
func grown(s *modeltest.Shape, n int) string {
	begin := slices.MinFunc(matching(s), func(a, b string) int { return len(a) - len(b) })
	return begin[:min(n, len(begin))] + strings.Repeat("a", max(0, n-len(begin)))
}

// matched remembers what matching returned, by shape: finding it takes long.
var matched sync.Map

func matching(s *modeltest.Shape) []string {
	list, ok := matched.Load(s.Name)
	if !ok {
		list, _ = matched.LoadOrStore(s.Name, findMatching(s))
	}
	return list.([]string)
}

// findMatching returns some texts that the shape's length and pattern allow, among
// them one of the shortest and some of many lengths. They are always the same.
func findMatching(s *modeltest.Shape) []string {
	if s.Pattern == "" || s.Pattern == ".*" {
		n := 1
		if s.Min != nil {
			n = *s.Min
		}
		return []string{strings.Repeat("a", n), strings.Repeat("b", n+1)}
	}
	pattern := strings.TrimPrefix(s.Pattern, "^(?!aws:)")
	for _, count := range []string{"{1,1011}", "{1,1000}"} {
		pattern = strings.ReplaceAll(pattern, count, "{1,40}")
	}
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		panic(err)
	}
	simple := re.Simplify()
	random := rand.New(rand.NewPCG(1, 2))
	found := map[string]bool{}
	for i := 0; i < 4000 && len(found) < 12; i++ {
		v := generate(simple, random, i == 0)
		if s.Fits(v) && s.Matches(v) {
			found[v] = true
		}
	}
	if len(found) == 0 {
		panic("no text found that the pattern of " + s.Name + " allows")
	}
	return slices.Sorted(maps.Keys(found))
}

// generate returns a text that an expression matches: the shortest, or a random
// one. Where any character is allowed it uses ASCII.
func generate(re *syntax.Regexp, random *rand.Rand, shortest bool) string {
	var b strings.Builder
	repeat := func(least, most int) {
		n := least
		if !shortest {
			n += random.IntN(most - least + 1)
		}
		for range n {
			b.WriteString(generate(re.Sub[0], random, shortest))
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		b.WriteRune(pick(re.Rune, random))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteRune(rune('a' + random.IntN(26)))
	case syntax.OpCapture:
		b.WriteString(generate(re.Sub[0], random, shortest))
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			b.WriteString(generate(sub, random, shortest))
		}
	case syntax.OpAlternate:
		b.WriteString(generate(re.Sub[random.IntN(len(re.Sub))], random, shortest))
	case syntax.OpStar:
		repeat(0, 3)
	case syntax.OpPlus:
		repeat(1, 4)
	case syntax.OpQuest:
		repeat(0, 1)
	}
	return b.String()
}

// pick returns a printable ASCII character of a class given as ranges.
func pick(ranges []rune, random *rand.Rand) rune {
	var all []rune
	for i := 0; i < len(ranges); i += 2 {
		for r := max(ranges[i], '!'); r <= min(ranges[i+1], '~'); r++ {
			all = append(all, r)
		}
	}
	return all[random.IntN(len(all))]
}

// mismatching returns texts of a legal length that the pattern refuses: good
// ones with a character changed, or with another beginning.
func mismatching(s *modeltest.Shape, good []string) (list []string) {
	if s.Pattern == "" || s.Pattern == ".*" {
		return nil
	}
	seen := map[rune]bool{}
	for _, v := range good {
		for _, c := range " \n\r\x00é-_:/@A0" {
			for at := range len(v) {
				wrong := v[:at] + string(c) + v[at+1:]
				if !seen[c] && s.Fits(wrong) && !s.Matches(wrong) {
					seen[c] = true
					list = append(list, wrong)
				}
			}
		}
	}
	if wrong := "aws:" + good[0]; s.Fits(wrong) && !s.Matches(wrong) {
		list = append(list, wrong)
	}
	if len(list) == 0 {
		panic("no text found that the pattern of " + s.Name + " refuses")
	}
	return list
}

// put returns the smallest valid document with the value at the path.
func (p way) put(doc map[string]any, value any) string {
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

// enter goes one step into a container. It returns the current value there and a
// function that sets it.
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

// sample returns a small valid value of a shape.
func sample(s *modeltest.Shape) any {
	switch s.Type {
	case "structure":
		object := map[string]any{}
		for _, m := range s.Members {
			if m.Required || narrowed[s.Name+"."+m.Name] != "" {
				object[m.Name] = sample(m.Shape)
			}
		}
		return object
	case "list":
		return []any{}
	case "map":
		return map[string]any{}
	case "integer":
		return 1
	case "boolean":
		return true
	}
	if s.Enum != nil {
		return s.Enum[0]
	}
	return matching(s)[0]
}

func (b *bench) try(op *modeltest.Operation, p way, c try) {
	b.Helper()
	body := p.put(sample(op.Input).(map[string]any), c.value)
	w := b.Send(b.Request("AppRunner."+op.Name, body))
	message, _ := w.Doc["Message"].(string)
	fail := func(why string) {
		b.Helper()
		b.Errorf("%s at %s: %s: %d %.500s\nbody: %.300s", c.kind, p.name(), why, w.Code, w.Body, body)
	}
	name, _ := w.Doc["__type"].(string)
	switch {
	case w.Code >= 500 || w.Code != 200 && !slices.Contains(op.Exceptions, name) && name != "SerializationException":
		fail("answers what the model does not permit")
	case c.kind == "type":
		if w.Code != 400 || name != "SerializationException" || !strings.HasSuffix(message, "(member "+p.name()+")") {
			fail("is not refused as a member of the wrong type")
		}
	case len(c.breaks) == 0:
		if name == "SerializationException" || strings.Contains(message, "validation error") {
			fail("is legal and refused")
		}
	default:
		b.broken(c, p.name(), w.Code, name, message, fail)
	}
}

// broken checks the refusal of a value that breaks constraints.
func (b *bench) broken(c try, member string, code int, exception, message string, fail func(string)) {
	b.Helper()
	count := fmt.Sprintf("%d validation errors detected: ", len(c.breaks))
	if len(c.breaks) == 1 {
		count = "1 validation error detected: "
	}
	if code != 400 || exception != "InvalidRequestException" || !strings.HasPrefix(message, count) {
		fail(fmt.Sprintf("is not refused only for %q", c.breaks))
		return
	}
	if !strings.Contains(message, " at '"+member+"' failed to satisfy constraint: ") {
		fail("the member is not named")
	}
	for _, text := range c.breaks {
		if !strings.Contains(message, text) && !strings.HasSuffix(message, "...") { // cut at the model's own limit of messages
			fail(fmt.Sprintf("%q is not named", text))
		}
	}
}

// A widened pattern accepts more than the model, by a rule of the server.
func TestWidened(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	digest := "registry.example:5000/team/shop@sha256:" + strings.Repeat("0", 64)
	b.must(newService("shop", withSource(imageOf(digest, types.ImageRepositoryTypeEcr, nil))))
	b.refuse(newService("cart", withSource(imageOf("Not An Image", types.ImageRepositoryTypeEcr, nil))), "InvalidRequestException", "is not an image reference")
}

// Every operation of the model is answered; nothing panics without a body.
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
