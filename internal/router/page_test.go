package router

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestPrefersHTML(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		accept []string
		want   bool
	}{
		{nil, false},
		{[]string{"*/*"}, false},
		{[]string{"text/html"}, true},
		{[]string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, true},
		{[]string{"application/json"}, false},
		{[]string{"application/json, text/html;q=0.5"}, false},
		{[]string{"application/json;q=0.5", "Text/HTML"}, true},
		{[]string{"text/html;q=0"}, false},
		{[]string{"text/html;q=rubbish"}, false},
		{[]string{"text/html;q=NaN"}, false},
		{[]string{"text/html;q=7"}, false},
		{[]string{"text/html;level=1;Q=1.0"}, true},
		{[]string{",;,", "=;q"}, false},
	} {
		if got := PrefersHTML(c.accept); got != c.want {
			t.Errorf("PrefersHTML(%q) = %v, want %v", c.accept, got, c.want)
		}
	}
}

func FuzzPrefersHTML(f *testing.F) {
	f.Add("text/html;q=0.5, application/json")
	f.Fuzz(func(t *testing.T, accept string) {
		if PrefersHTML([]string{accept}) && !strings.Contains(strings.ToLower(accept), "html") {
			t.Fatalf("%q asks for no HTML", accept)
		}
	})
}

func TestEveryPageIsWellFormed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for id, p := range pages {
		if p.code == "" || seen[p.code] || http.StatusText(p.status) == "" {
			t.Errorf("page %d: code %q, status %d", id, p.code, p.status)
		}
		seen[p.code] = true
		var v struct {
			Status         int
			Error, Message string
		}
		if err := json.Unmarshal(p.json.Body, &v); err != nil || v.Status != p.status || v.Error != p.code || v.Message == "" {
			t.Errorf("%s: %s: %v", p.code, p.json.Body, err)
		}
		d := xml.NewDecoder(strings.NewReader(strings.ReplaceAll(string(p.html.Body), `<meta charset="utf-8">`, "")))
		d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
		var elements []string
		for {
			tok, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", p.code, err)
			}
			if e, ok := tok.(xml.StartElement); ok {
				elements = append(elements, e.Name.Local)
			}
		}
		for _, want := range []string{"html", "title", "main", "h1"} {
			if n := strings.Count(" "+strings.Join(elements, " ")+" ", " "+want+" "); n != 1 {
				t.Errorf("%s has %d <%s>, want one: %v", p.code, n, want, elements)
			}
		}
	}
}
