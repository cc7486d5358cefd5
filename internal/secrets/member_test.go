package secrets

import "testing"

// A member of a secret is read only from a document that all readers understand alike.
func TestMember(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ secret, key, want string }{ // want "" for a refusal
		{`{"a":"1","A":"2"}`, "a", "1"},
		{`{"a":"1","A":"2"}`, "A", "2"},
		{`{"A":"2"}`, "a", ""},
		{`{"a":"1","a":"2"}`, "a", ""},
		{`{"a":"1","b":{"c":1,"c":2}}`, "a", ""},
		{`{"a":"1","\u0061":"2"}`, "a", ""},
		{`{"a":"1"} {}`, "a", ""},
		{`{"a":"1"}x`, "a", ""},
		{"\ufeff" + `{"a":"1"}`, "a", ""},
		{`{"a":"` + "\xff" + `"}`, "a", ""},
		{`{"caf\u00e9":"1","cafe\u0301":"2"}`, "caf\u00e9", "1"},
		{`{"\u212a":"1"}`, "k", ""},
	} {
		got, err := member([]byte(c.secret), c.key)
		if string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s of %s: %q, %v, want %q", c.key, c.secret, got, err, c.want)
		}
	}
}
