package proxy

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/router/http1"
)

// The files testdata/requests.txt and testdata/responses.txt hold entries that are parted
// by empty lines. The first line of an entry is its name. Bytes are written as in a Go
// string, without its quotes; a brace stands for more: {get} and {post} for the lines that
// most requests begin with, {ours} for the fields that the router adds, {date} for a Date
// field, {3*ab} for ababab. A line that begins with # is a comment.
//
// In requests.txt:
//
//	> bytes    what the client sends; several lines are joined
//	eof        then it ends its sending side; if not, it sends GET /next
//	at once    the outcome depends on whether the bytes come at once
//	| bytes    what an instance gets: a line for each connection, and none for /next
//	= words    the statuses of the responses, each after "HEAD:" if there is no body;
//	           "open" if /next was answered as well, else "closed"
//	nginx: words; why    what nginx does, if not the same
//
// A request that is refused after its head has passed, as for its chunks, leaves the
// instance with a part of it: that line begins with |~ and has the head alone.
//
// In responses.txt:
//
//	to words   the request: method, version, and more lines of its head
//	< bytes    what the instance sends
//	eof, reset how the instance then ends the connection; if neither, it waits
//	> bytes    what the client gets; {page} for the rest of a page of the router
//	= words    "open" if another request may follow, "closed", or "reset"; "kept" if the
//	           connection to the instance is kept
var update = flag.Bool("update", false, "write what happens into testdata, to be read before it is committed")

// entry is one of a file.
type entry struct {
	name  string
	lines []string
}

// get returns the lines that begin with a mark, without it.
func (e *entry) get(mark string) (list []string) {
	for _, l := range e.lines {
		if rest, ok := strings.CutPrefix(l, mark); ok {
			list = append(list, strings.TrimPrefix(rest, " "))
		}
	}
	return list
}

// set replaces the lines that begin with one of the marks.
func (e *entry) set(marks []string, lines []string) {
	var keep []string
	for _, l := range e.lines {
		old := false
		for _, m := range marks {
			old = old || strings.HasPrefix(l, m)
		}
		if !old {
			keep = append(keep, l)
		}
	}
	e.lines = append(keep, lines...)
}

func (e *entry) has(line string) bool {
	for _, l := range e.lines {
		if l == line {
			return true
		}
	}
	return false
}

// readEntries reads a file; save writes it back.
func readEntries(t *testing.T, file string) (list []*entry, save func()) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	var parts []any // *entry, or a comment
	for part := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n\n") {
		if strings.HasPrefix(part, "#") {
			parts = append(parts, part)
			continue
		}
		lines := strings.Split(part, "\n")
		e := &entry{name: lines[0], lines: lines[1:]}
		if names[e.name] {
			t.Fatalf("%s: two entries are named %q", file, e.name)
		}
		names[e.name] = true
		list, parts = append(list, e), append(parts, e)
	}
	return list, func() {
		var out []string
		for _, p := range parts {
			if e, ok := p.(*entry); ok {
				p = strings.Join(append([]string{e.name}, e.lines...), "\n")
			}
			out = append(out, p.(string))
		}
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	getLines  = "GET / HTTP/1.1\r\nHost: shop.test\r\n"
	postLines = "POST / HTTP/1.1\r\nHost: shop.test\r\n"
	nextLines = "GET /next HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n"
)

var repeatRE = regexp.MustCompile(`\{(\d+)\*([^}]*)\}`)

// decode returns the bytes that a line stands for.
func decode(t *testing.T, s string) string {
	t.Helper()
	s = strings.NewReplacer("{get}", quote(getLines), "{post}", quote(postLines)).Replace(s)
	s = repeatRE.ReplaceAllStringFunc(s, func(r string) string {
		m := repeatRE.FindStringSubmatch(r)
		n, _ := strconv.Atoi(m[1])
		return strings.Repeat(m[2], n)
	})
	b, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

// encode is the inverse of decode.
func encode(s string) string {
	s = quote(repeat(s))
	for lines, name := range map[string]string{getLines: "{get}", postLines: "{post}"} {
		s = strings.ReplaceAll(s, quote(lines), name)
	}
	return s
}

func quote(s string) string {
	q := strconv.QuoteToASCII(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// repeat writes what is repeated 100 times and more, of up to 24 bytes, in short.
func repeat(s string) string {
	var b strings.Builder
next:
	for i := 0; i < len(s); {
		for k := 1; k <= 24 && i+k <= len(s); k++ {
			n := 1
			for strings.HasPrefix(s[i+n*k:], s[i:i+k]) {
				n++
			}
			if n >= 100 {
				fmt.Fprintf(&b, "{%d*%s}", n, s[i:i+k])
				i += n * k
				continue next
			}
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}

var (
	oursRE = regexp.MustCompile(`X-Forwarded-For: 127\.0\.0\.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: ([^\r]*)\r\nX-Forwarded-Port: \d+\r\nX-Request-Id: [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\r\n\r\n`)
	hostRE = regexp.MustCompile(`^[^\n]*\nHost: ([^\r]*)\r\n`)
)

// maskOurs puts {ours} in the place of the fields that the router adds, if they are right.
func maskOurs(head string) string {
	host := hostRE.FindStringSubmatch(head)
	ours := oursRE.FindStringSubmatchIndex(head)
	if host == nil || ours == nil || head[ours[2]:ours[3]] != host[1] {
		return head
	}
	return head[:ours[0]] + "{ours}\r\n" + head[ours[1]:]
}

// recorder is an instance that records all that its connections receive. It answers one
// request on each, and says that it closes. It asks for a body that is held back, and
// switches to WebSocket if the path is /switch.
type recorder struct {
	addr string

	mu       sync.Mutex // guards all
	seen     []*record
	accepted int // connections since the start
	conns    sync.WaitGroup
}

// record is what came on a connection.
type record struct {
	bytes string
	whole bool // at least a request
}

func startRecorder(t *testing.T) *recorder {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{addr: l.Addr().String()}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			rec := &record{}
			r.mu.Lock()
			r.seen = append(r.seen, rec)
			r.accepted++
			r.conns.Add(1)
			r.mu.Unlock()
			go func() {
				defer r.conns.Done()
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute)) // protects against hanging; not a limit
				r.answer(c, rec)
			}()
		}
	}()
	return r
}

func (r *recorder) answer(c net.Conn, rec *record) {
	var got strings.Builder
	in := bufio.NewReader(io.TeeReader(c, &got))
	req, err := readPlain(in)
	if err == nil {
		switch {
		case req.URL.Path == "/switch" && req.Header.Get("Upgrade") != "":
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			rec.whole = true
			c.(*net.TCPConn).CloseWrite()
		default:
			if req.Header.Get("Expect") != "" {
				io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			_, err = io.Copy(io.Discard, req.Body)
			if rec.whole = err == nil; rec.whole {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n")
				if req.Method != "HEAD" {
					io.WriteString(c, "ok")
				}
			}
		}
	} else if strings.Contains(got.String(), "\r\n\r\n") {
		rec.whole = true
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	}
	io.Copy(io.Discard, in) // to the end: bytes beyond the request are recorded
	rec.bytes = got.String()
}

// readPlain reads a request with net/http, which decides how it is answered, not what is
// recorded. The target is taken away before, since not each is a URL.
func readPlain(in *bufio.Reader) (*http.Request, error) {
	var head strings.Builder
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			return nil, err
		}
		if head.Len() == 0 && !strings.Contains(line, " /switch ") {
			method, _, _ := strings.Cut(line, " ")
			line = method + " / HTTP/1.1\r\n"
		}
		head.WriteString(line)
	}
	return http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head.String()), in)))
}

// take returns the records, once n connections have come since the start and have ended.
func (r *recorder) take(t *testing.T, n int) []*record {
	eventually(t, "all connections accepted", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.accepted >= n
	})
	r.conns.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

// outcome is what became of the bytes of a client.
type outcome struct {
	statuses []string
	open     bool
	seen     []*record // without that of /next
}

func (o *outcome) verdict() string {
	end := "closed"
	if o.open {
		end = "open"
	}
	return strings.Join(append(o.statuses, end), " ")
}

// sendRaw sends bytes to a proxy, in pieces of a length, and returns what becomes of them.
func sendRaw(t *testing.T, network, addr, in string, eof bool, piece int) (o outcome) {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute)) // protects against hanging; not a limit
	var sent sync.WaitGroup
	defer sent.Wait()
	sent.Go(func() {
		all := in
		if !eof {
			all += nextLines + "\r\n"
		}
		for len(all) > 0 {
			n := min(piece, len(all))
			if _, err := io.WriteString(c, all[:n]); err != nil {
				return // refused already
			}
			all = all[n:]
		}
		if eof {
			closeWrite(c)
		}
	})
	r := bufio.NewReader(c)
	method := "GET"
	if strings.HasPrefix(in, "HEAD ") {
		method = "HEAD"
	}
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			break
		}
		status := strconv.Itoa(resp.StatusCode)
		if method == "HEAD" {
			status = "HEAD:" + status
		}
		if resp.StatusCode != 100 {
			method = "GET"
		}
		o.statuses = append(o.statuses, status)
		if resp.StatusCode == 101 {
			break
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Errorf("body of the response %s: %v", status, err)
		}
	}
	io.Copy(io.Discard, r)
	sent.Wait()
	c.Close()
	return o
}

// finish adds what the instance saw.
func (o *outcome) finish(seen []*record) {
	for _, rec := range seen {
		if strings.HasPrefix(rec.bytes, "GET /next ") && len(o.statuses) > 0 && rec.whole {
			o.open = true
			o.statuses = o.statuses[:len(o.statuses)-1]
			continue
		}
		o.seen = append(o.seen, rec)
	}
}

// requests returns how many whole requests the instance saw.
func (o *outcome) requests() (n int) {
	for _, rec := range o.seen {
		if rec.whole {
			n++
		}
	}
	return n
}

// joinChunks makes one chunk of those that a body has.
func joinChunks(seen []*record) {
	for _, rec := range seen {
		head, body, _ := strings.Cut(rec.bytes, "\r\n\r\n")
		if !rec.whole || !strings.Contains(head, "\r\nTransfer-Encoding: chunked") {
			continue
		}
		var scan http1.ChunkScanner
		var all []byte
		rest := []byte(body)
		for len(rest) > 0 {
			data, n, done, err := scan.Next(rest)
			if all = append(all, data...); err != nil || done {
				break
			}
			rest = rest[n:]
		}
		b := []byte(head + "\r\n\r\n")
		if len(all) > 0 {
			b = appendChunk(b, all)
		}
		rec.bytes = string(appendLastChunk(b, scan.Trailer()))
	}
}

// lines returns the outcome in the notation of requests.txt.
func (o *outcome) lines() (lines []string) {
	for _, rec := range o.seen {
		mark, b := "| ", rec.bytes
		if !rec.whole {
			mark = "|~ "
			head, _, _ := strings.Cut(b, "\r\n\r\n")
			b = head + "\r\n\r\n"
		}
		lines = append(lines, mark+encode(maskOurs(b)))
	}
	return append(lines, "= "+o.verdict())
}

func (w *fixture) dialed(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dials[id]
}

// Each request of testdata/requests.txt has the outcome that is written there, sent at once
// and byte by byte.
func TestRequestCorpus(t *testing.T) {
	t.Parallel()
	list, save := readEntries(t, "testdata/requests.txt")
	if len(list) < 150 {
		t.Fatalf("%d requests, want at least 150", len(list))
	}
	to := startRecorder(t)
	w := newFixture(t, nil)
	w.addAt("a", to.addr)
	for _, e := range list {
		t.Run(strings.ReplaceAll(e.name, " ", "_"), func(t *testing.T) {
			in := decode(t, strings.Join(e.get(">"), ""))
			var first outcome
			for _, piece := range []int{len(in) + 1000, 1} {
				if piece == 1 && e.has("at once") {
					break
				}
				if piece == 1 && len(in) > 4<<10 {
					piece = 1000
				}
				o := sendRaw(t, "tcp", w.addr, in, e.has("eof"), piece)
				eventually(t, "all connections to the instance ended", func() bool { return w.connections("a") == 0 && w.inFlight() == 0 })
				o.finish(to.take(t, w.dialed("a")))
				var want []string
				if piece > len(in) {
					first = o
					if *update {
						e.set([]string{"|", "="}, o.lines())
					}
					for _, l := range e.lines {
						if strings.HasPrefix(l, "|") || strings.HasPrefix(l, "=") {
							want = append(want, l)
						}
					}
				} else { // which chunks the body has depends on when its bytes came
					joinChunks(first.seen)
					joinChunks(o.seen)
					want = first.lines()
				}
				got := o.lines()
				if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
					t.Errorf("in pieces of %d bytes:\n%s\nwant\n%s", piece, g, w)
				}
			}
		})
	}
	if *update {
		save()
	}
}

var pageRE = regexp.MustCompile(`(?s)(HTTP/1\.1 \d{3} [A-Za-z ]+)\r\nContent-Type: application/json\r\n.*X-Request-Id: [0-9a-f-]{36}\r\n.*`)

var dateRE = regexp.MustCompile(`Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20[2-9]\d [\d:]{8} GMT\r\n`)

// Each response of testdata/responses.txt reaches its client as is written there.
func TestResponseCorpus(t *testing.T) {
	t.Parallel()
	list, save := readEntries(t, "testdata/responses.txt")
	if len(list) < 60 {
		t.Fatalf("%d responses, want at least 60", len(list))
	}
	for _, e := range list {
		t.Run(strings.ReplaceAll(e.name, " ", "_"), func(t *testing.T) {
			answer := decode(t, strings.Join(e.get("<"), ""))
			request := "{get}\\r\\n"
			if to := e.get("to"); len(to) > 0 {
				request = to[0]
			}
			for _, way := range []struct{ split, kept bool }{{}, {split: true}, {kept: true}, {split: true, kept: true}} {
				split := way.split
				piece := len(answer) + 1
				if split && len(answer) < 4<<10 {
					piece = 1
				} else if split {
					piece = 1000
				}
				got := respondRaw(t, decode(t, request), answer, e, piece, way.kept)
				if split {
					// Which chunks a body has depends on when its bytes came.
					if strings.Contains(got[0], "Transfer-Encoding: chunked") {
						continue
					}
					got[1] = strings.TrimSuffix(got[1], " kept") // surplus bytes may be on their way
				} else if *update && !way.kept {
					e.set([]string{">", "="}, got)
				}
				var want []string
				for _, l := range e.lines {
					if strings.HasPrefix(l, ">") || strings.HasPrefix(l, "=") {
						want = append(want, l)
					}
				}
				if split && len(want) == 2 {
					want[1] = strings.TrimSuffix(want[1], " kept")
				}
				if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
					t.Errorf("in pieces of %d bytes, on a kept connection %t:\n%s\nwant\n%s", piece, way.kept, g, w)
				}
			}
		})
	}
	if *update {
		save()
	}
}

// respondRaw sends a request through a proxy to an instance that answers with bytes in
// pieces, and returns what the client gets, in the notation of responses.txt. If kept is set,
// both ends have had a request before on their connections.
func respondRaw(t *testing.T, request, answer string, e *entry, piece int, kept bool) []string {
	w := newFixture(t, nil)
	defer w.stop()
	begun := make(chan struct{}) // the client has got something
	w.addRaw("a", func(c net.Conn, r *bufio.Reader) {
		if readMessage(r); kept {
			io.WriteString(c, okResponse)
			readMessage(r)
		}
		for rest := answer; len(rest) > 0; {
			n := min(piece, len(rest))
			if _, err := io.WriteString(c, rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
		switch {
		case e.has("eof"):
		case e.has("reset"):
			if strings.Contains(answer, "\r\n\r\n") {
				<-begun // a reset discards what was not read before
			}
			c.(*net.TCPConn).SetLinger(0)
		default:
			io.Copy(io.Discard, r)
		}
	})
	c := w.dial()
	defer c.Close()
	if kept {
		c.send(plainGet)
		c.response("GET")
		eventually(t, "the client is at rest", func() bool { resting, _ := w.looped(); return resting == 1 })
	}
	c.send(request + "GET /last HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n")
	c.r.Peek(1)
	close(begun)
	b, err := io.ReadAll(c.r)
	c.Close()
	got, end := string(b), "closed"
	if err != nil {
		end = "reset"
	}
	const last = "HTTP/1.1 404 Not Found\r\n"
	if i := strings.LastIndex(got, last); i >= 0 && strings.Contains(got[i:], "Connection: close\r\n") {
		got, end = got[:i], "open"
	}
	eventually(t, "no request in flight", func() bool { return w.inFlight() == 0 })
	w.proxy.pools.Range(func(_, p any) bool {
		pl := p.(*pool)
		pl.mu.Lock()
		kept := len(pl.idle) > 0
		pl.mu.Unlock()
		if kept {
			end += " kept"
		}
		pl.close()
		return true
	})
	got = dateRE.ReplaceAllString(got, "{date}\r\n")
	got = pageRE.ReplaceAllString(got, "$1 {page}")
	return []string{"> " + encode(got), "= " + end}
}
