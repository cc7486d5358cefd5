package logs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/logs"
)

// BenchmarkAppend writes batches of 100 lines of 100 bytes.
func BenchmarkAppend(b *testing.B) {
	s, err := logs.New(logs.Config{Dir: b.TempDir(), Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	batch := make([]logs.Line, 100)
	for i := range batch {
		batch[i] = logs.Line{At: past, Kind: logs.Stdout, Text: strings.Repeat("x", 100), Next: 1 << 30}
	}
	b.SetBytes(100 * 100)
	for b.Loop() {
		if _, err := s.Append(b.Context(), stream("instance/a"), batch); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead reads 32 MB of lines: all, and those that hold a rare word.
func BenchmarkRead(b *testing.B) {
	s, err := logs.New(logs.Config{Dir: b.TempDir(), Log: quiet, MaxAge: 100 * 365 * 24 * time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	batch := make([]logs.Line, 1000)
	for i := range batch {
		batch[i] = logs.Line{At: past, Kind: logs.Stdout, Text: strings.Repeat("some words ", 9), Next: 1 << 30}
	}
	for range 320 {
		if _, err := s.Append(b.Context(), stream("instance/a"), batch); err != nil {
			b.Fatal(err)
		}
	}
	for _, sealed := range []string{"plain", "sealed"} {
		if sealed == "sealed" {
			s.Sweep(b.Context(), time.Now().Add(time.Hour))
		}
		for _, contains := range []string{"", "rare"} {
			b.Run(sealed+"/contains="+contains, func(b *testing.B) {
				b.SetBytes(32e6)
				for b.Loop() {
					for _, err := range s.Read(b.Context(), logs.Query{Service: service, Contains: contains}) {
						if err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
	b.Run("tail", func(b *testing.B) {
		for b.Loop() {
			for _, err := range s.Read(b.Context(), logs.Query{Service: service, Tail: 100}) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
