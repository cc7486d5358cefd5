package embedded

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestListening(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Logf("%s: %v", at, err) // without IPv6
			continue
		}
		defer l.Close()
		all, err := listening(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, a := range all {
			texts = append(texts, a.String())
		}
		want := l.Addr().String()
		if !slices.Contains(texts, want) {
			t.Errorf("%s is not among %v", want, texts)
		}
	}
}

func TestParseListening(t *testing.T) {
	t.Parallel()
	const head = "  sl  local_address rem_address   st\n"
	list, err := parseSockets(strings.NewReader(head+"   0: 0100007F:1F90 00000000:0000 0A x\n   1: 0100007F:1F91 00000000:0000 01 x\n\n"), listenState)
	if text := fmt.Sprint(list); err != nil || text != "[127.0.0.1:8080]" {
		t.Errorf("%s, %v", text, err)
	}
	for _, bad := range []string{"zz:1", "0100007F", "0100007F:12345", "0100:1F90"} {
		if _, err := parseSockets(strings.NewReader("0: "+bad+" x 0A\n"), listenState); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}
