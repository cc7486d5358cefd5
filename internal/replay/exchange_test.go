package replay_test

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// exchange is one request and its answer as they are recorded: with placeholders
// for what differs between runs.
type exchange struct {
	request, answer message
}

// message is a request or an answer.
type message struct {
	first  string // "POST /", or the status
	header []string
	body   string
}

// String returns the message as it stands in a file: the first line, the header
// in order, an empty line, the body.
func (m message) String() string {
	return strings.Join(append([]string{m.first}, m.header...), "\n") + "\n\n" + m.body + "\n"
}

// volatile are header fields that differ between runs or follow from the rest.
var volatile = []string{
	"Accept-Encoding", "Amz-Sdk-Invocation-Id", "Authorization", "Connection", "Content-Length", "Date", "Expect", "Host", "X-Amz-Date",
	"X-Amzn-Requestid",
}

// sumHeader has the hash of the body, where a client sends it.
const sumHeader = "X-Amz-Content-Sha256"

// newMessage returns a message without its volatile header fields.
func newMessage(first string, header http.Header, body string) message {
	m := message{first: first, body: body}
	for name, values := range header {
		if slices.Contains(volatile, name) {
			continue
		}
		value := strings.Join(values, ", ")
		switch {
		case name == sumHeader:
			value = "{{sha256}}"
		case strings.HasSuffix(name, "User-Agent"): // what follows tells of versions and the machine
			value, _, _ = strings.Cut(value, "/")
		}
		m.header = append(m.header, name+": "+value)
	}
	slices.Sort(m.header)
	return m
}

// parseMessage reads what String wrote.
func parseMessage(text string) message {
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	return message{first: lines[0], header: lines[1:], body: strings.TrimSuffix(body, "\n")}
}

// format writes exchanges as a txtar archive.
func format(comment string, exchanges []exchange) []byte {
	a := txtar.Archive{Comment: []byte(comment)}
	for i, e := range exchanges {
		name := fmt.Sprintf("%02d-%s", i+1, e.request.operation())
		a.Files = append(a.Files,
			txtar.File{Name: name + ".request", Data: []byte(e.request.String())},
			txtar.File{Name: name + ".answer", Data: []byte(e.answer.String())})
	}
	return txtar.Format(&a)
}

// parse reads what format wrote.
func parse(data []byte) (comment string, exchanges []exchange) {
	a := txtar.Parse(data)
	for files := range slices.Chunk(a.Files, 2) {
		exchanges = append(exchanges, exchange{parseMessage(string(files[0].Data)), parseMessage(string(files[1].Data))})
	}
	return string(a.Comment), exchanges
}

// operation is the name of the operation that a request asks for.
func (m message) operation() string {
	for _, h := range m.header {
		if target, ok := strings.CutPrefix(h, "X-Amz-Target: "); ok {
			_, name, _ := strings.Cut(target, ".")
			return name
		}
	}
	return "unknown"
}

// names keeps the placeholders of one run: each value that the server chose at
// random is named by its kind and the order in which answers first showed it.
type names struct {
	count  map[string]int
	values map[string]string // by placeholder
	known  map[string]string // placeholders by value
}

func newNames() *names {
	return &names{count: map[string]int{}, values: map[string]string{}, known: map[string]string{}}
}

// chosen matches what the server chooses at random: a page's token, a service's
// host label, an id.
var chosen = regexp.MustCompile(`"NextToken":"(?P<token>[^"]+)"|(?P<host>\b[a-z0-9]{10})\.us-east-1\.slipway\.localhost|(?P<id>\b[0-9a-f]{32}\b)`)

// learn gives placeholders to the values that an answer shows first.
func (n *names) learn(answer string) {
	for _, match := range chosen.FindAllStringSubmatch(answer, -1) {
		for i, kind := range chosen.SubexpNames() {
			value := match[i]
			if kind == "" || value == "" || n.known[value] != "" {
				continue
			}
			n.count[kind]++
			placeholder := fmt.Sprintf("{{%s-%d}}", kind, n.count[kind])
			n.known[value], n.values[placeholder] = placeholder, value
		}
	}
}

// keep keeps the ids that a request is the first to show: the client chose them.
func (n *names) keep(request string) {
	for _, id := range regexp.MustCompile(`\b[0-9a-f]{32}\b`).FindAllString(request, -1) {
		if n.known[id] == "" {
			n.known[id] = id
		}
	}
}

// hide writes placeholders for values.
func (n *names) hide(text string) string {
	values := make([]string, 0, len(n.known))
	for v := range n.known {
		values = append(values, v)
	}
	// A token may contain an id.
	slices.SortFunc(values, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	for _, v := range values {
		text = strings.ReplaceAll(text, v, n.known[v])
	}
	return text
}

// reveal writes values for placeholders.
func (n *names) reveal(text string) string {
	for placeholder, v := range n.values {
		text = strings.ReplaceAll(text, placeholder, v)
	}
	return text
}

// setHeader sets the header fields of a recorded message.
func (m message) setHeader(h http.Header) {
	for _, line := range m.header {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
}
