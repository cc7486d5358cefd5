package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

// environment returns a variable of this program's environment, and whether it is set.
type environment func(name string) (string, bool)

// maxEnvFile is how many bytes an env file may have.
const maxEnvFile = 4 << 20

// readVariables collects the environment variables of --env-file and --env. --env
// takes precedence. Its errors never contain values, which may be secret.
func readVariables(files, pairs []string, environ environment) (map[string]string, error) {
	env := map[string]string{}
	for _, name := range files {
		if err := readEnvFile(name, env, environ); err != nil {
			return nil, fmt.Errorf("--env-file %s: %w", name, err)
		}
	}
	for _, pair := range pairs {
		if err := setVariable(env, pair, environ); err != nil {
			return nil, fmt.Errorf("--env: %w", err)
		}
	}
	return env, nil
}

func readEnvFile(name string, env map[string]string, environ environment) error {
	f, err := os.Open(name)
	if err != nil {
		return reason(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxEnvFile+1))
	switch {
	case err != nil:
		return reason(err)
	case len(text) > maxEnvFile:
		return fmt.Errorf("the file has more than %d bytes", maxEnvFile)
	}
	return parseVariables(string(text), env, environ)
}

// setVariable sets the variable of one --env.
func setVariable(env map[string]string, pair string, environ environment) error {
	name, value, given := strings.Cut(pair, "=")
	if err := checkVariable(name); err != nil {
		return err
	}
	if !given {
		if value, given = environ(name); !given {
			return fmt.Errorf("%s has no value: it is not set in this environment; write %[1]s=value, or %[1]s= for an empty one", name)
		}
	}
	return assign(env, name, value)
}

// checkVariable checks the name of a variable that is to be set.
func checkVariable(name string) error {
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f || r == '=' }
	switch {
	case name == "":
		return fmt.Errorf("a variable has no name; write NAME=value")
	case strings.ContainsFunc(name, bad) || !utf8.ValidString(name):
		return fmt.Errorf("the name of a variable has a space or a control character; write NAME=value")
	case name == "PORT":
		return fmt.Errorf("PORT is set by --port, to the port that the application must listen on")
	}
	return nil
}

// assign sets a variable to a value that it can have.
func assign(env map[string]string, name, value string) error {
	const longest = 51200 // App Runner's limit
	switch {
	case strings.ContainsRune(value, 0):
		return fmt.Errorf("the value of %s contains a NUL byte", name)
	case !utf8.ValidString(value):
		return fmt.Errorf("the value of %s is not UTF-8", name)
	case len(value) > longest:
		return fmt.Errorf("the value of %s has %d bytes; at most %d are allowed", name, len(value), longest)
	}
	env[name] = value
	return nil
}

// envFile parses the text of an env file by Docker Compose's rules for .env files, but
// substitutes no variables: a $ is an ordinary character.
//
// https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/#env-file-syntax
type envFile struct {
	rest string
	line int // of the beginning of rest
}

// parseVariables sets the variables of an env file. An error names the line.
func parseVariables(text string, env map[string]string, environ environment) error {
	text = strings.TrimPrefix(text, "\ufeff")
	f := envFile{rest: strings.ReplaceAll(text, "\r\n", "\n"), line: 1}
	for f.rest != "" {
		at := f.line
		if err := f.entry(env, environ); err != nil {
			return fmt.Errorf("line %d: %w", at, err)
		}
	}
	return nil
}

var (
	exportPrefix = regexp.MustCompile(`^export[ \t]+`)
	envFileName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*`)
	inlineRemark = regexp.MustCompile(`(^|[ \t])#.*$`)
)

// entry takes one entry: a line, or several if a value in quotes spans them.
func (f *envFile) entry(env map[string]string, environ environment) error {
	f.skip(len(f.rest) - len(strings.TrimLeft(f.rest, " \t")))
	if f.rest == "" || f.rest[0] == '\n' || f.rest[0] == '#' {
		f.endLine()
		return nil
	}
	f.skip(len(exportPrefix.FindString(f.rest)))
	name := envFileName.FindString(f.rest)
	f.skip(len(name))
	f.skip(len(f.rest) - len(strings.TrimLeft(f.rest, " \t")))
	switch {
	case name == "":
		return fmt.Errorf("a name of letters, digits and _ was expected; write NAME=value")
	case f.rest == "" || f.rest[0] == '\n' || f.rest[0] == '#':
		f.endLine()
		return setVariable(env, name, environ)
	case f.rest[0] != '=':
		return fmt.Errorf("= was expected after %s; write NAME=value", name)
	}
	if err := checkVariable(name); err != nil {
		return err
	}
	f.skip(1)
	value, err := f.value(name)
	if err != nil {
		return err
	}
	return assign(env, name, value)
}

// value takes a value and the rest of its line.
func (f *envFile) value(name string) (string, error) {
	f.skip(len(f.rest) - len(strings.TrimLeft(f.rest, " \t")))
	if f.rest == "" || f.rest[0] != '"' && f.rest[0] != '\'' {
		text := inlineRemark.ReplaceAllString(f.endLine(), "")
		return strings.TrimRight(text, " \t"), nil
	}
	quote := f.rest[0]
	var b strings.Builder
	for i := 1; i < len(f.rest); i++ {
		switch c := f.rest[i]; {
		case c == quote:
			f.skip(i + 1)
			if after := strings.TrimSpace(f.endLine()); after != "" && after[0] != '#' {
				return "", fmt.Errorf("there is text after the closing quote of %s", name)
			}
			return b.String(), nil
		case c == '\\' && i+1 < len(f.rest):
			i++
			b.WriteString(unescaped(quote, f.rest[i]))
		default:
			b.WriteByte(c)
		}
	}
	return "", fmt.Errorf("the quote that begins the value of %s is not closed", name)
}

// unescaped returns what a backslash and a byte after it stand for.
func unescaped(quote, c byte) string {
	if quote == '\'' {
		if c == '\'' {
			return "'"
		}
		return string([]byte{'\\', c})
	}
	switch c {
	case 'n':
		return "\n"
	case 'r':
		return "\r"
	case 't':
		return "\t"
	case '"', '\\', '$':
		return string([]byte{c})
	}
	return string([]byte{'\\', c})
}

// skip takes n bytes.
func (f *envFile) skip(n int) {
	f.line += strings.Count(f.rest[:n], "\n")
	f.rest = f.rest[n:]
}

// endLine takes the rest of the line and returns it without its end.
func (f *envFile) endLine() string {
	text, _, more := strings.Cut(f.rest, "\n")
	n := len(text)
	if more {
		n++
	}
	f.skip(n)
	return text
}
