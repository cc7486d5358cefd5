package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// readVariables collects the environment variables of --env-file and --env. --env
// takes precedence.
func readVariables(files, pairs []string, lookup func(string) string) (map[string]string, error) {
	env := map[string]string{}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("--env-file: %w", err)
		}
		err = parseVariables(f, env, lookup)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("--env-file %s: %w", name, err)
		}
	}
	for _, pair := range pairs {
		if err := setVariable(env, pair, lookup); err != nil {
			return nil, fmt.Errorf("--env: %w", err)
		}
	}
	return env, nil
}

// parseVariables reads lines as `docker run --env-file` does: NAME=value takes the
// value verbatim, NAME takes the value from this process's environment, # begins
// a comment.
func parseVariables(r io.Reader, env map[string]string, lookup func(string) string) error {
	const longestLine = 1 << 20
	s := bufio.NewScanner(r)
	s.Buffer(nil, longestLine)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimLeft(strings.TrimSuffix(s.Text(), "\r"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		if err := setVariable(env, line, lookup); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return s.Err()
}

// setVariable sets one variable. Its errors never contain values, which may be
// secret.
func setVariable(env map[string]string, pair string, lookup func(string) string) error {
	name, value, given := strings.Cut(pair, "=")
	switch {
	case name == "":
		return fmt.Errorf("a variable has no name; write NAME=value")
	case strings.ContainsAny(name, " \t\x00"):
		return fmt.Errorf("a variable's name contains a space; write NAME=value")
	case strings.ContainsRune(value, 0):
		return fmt.Errorf("the value of %s contains a NUL byte", name)
	case !given:
		value = lookup(name)
	}
	env[name] = value
	return nil
}
