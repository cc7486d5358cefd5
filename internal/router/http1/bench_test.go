package http1

import "testing"

// BenchmarkHead measures what checking a head adds to a request.
func BenchmarkHead(b *testing.B) {
	in := []byte("GET /path?query HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html\r\n" +
		"Accept-Language: en\r\nAccept-Encoding: gzip, br\r\nCookie: session=0123456789abcdef\r\nConnection: keep-alive\r\n\r\n")
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, end, status := checkHead(in); end != len(in) || status != 0 {
			b.Fatal(status)
		}
	}
}
