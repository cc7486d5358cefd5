package readme

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A page's blocks of the languages console and sh hold commands. A comment before a
// block, which a reader of the page does not see, is a note to this test:
//
//	<!-- not run: REASON -->  the block's commands are not run
//	<!-- first: COMMANDS -->  what makes the things that the reader has: files, devices

// block is a block of commands.
type block struct {
	line     int
	first    string // commands that come before
	notRun   string // why its commands are not run; "" if they are
	commands []command
}

// command is what a reader types, and what the page says is printed then.
type command struct {
	line   int
	text   string
	output []string
}

// other are the languages of blocks without commands. A block without a language is
// output of a program or a file's text.
var other = []string{"", "yaml", "json", "ini", "hcl"}

// readPage returns the blocks of commands of a page.
func readPage(t *testing.T, path string) []block {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := parsePage(string(text))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return blocks
}

func parsePage(text string) (blocks []block, err error) {
	lines := strings.Split(text, "\n")
	for i, after := 0, 0; i < len(lines); i++ {
		language, opens := strings.CutPrefix(lines[i], "```")
		if !opens {
			continue
		}
		end := i + 1
		for end < len(lines) && lines[end] != "```" {
			end++
		}
		b := block{line: i + 1}
		b.first, b.notRun = notes(strings.Join(lines[after:i], "\n"))
		switch inner := lines[i+1 : end]; {
		case language == "console":
			b.commands, err = session(inner, i+2)
		case language == "sh":
			b.commands, err = script(inner, i+2)
		case !slices.Contains(other, language):
			err = fmt.Errorf("line %d: a block of the language %q: the test knows console and sh for commands, and %q", i+1, language, other)
		case looksLikeCommands(inner):
			err = fmt.Errorf("line %d: the block holds commands: let it begin with ```console or ```sh", i+1)
		}
		if err != nil {
			return nil, err
		}
		if len(b.commands) > 0 {
			blocks = append(blocks, b)
		}
		i, after = end, end+1
	}
	return blocks, nil
}

// notes reads the comments at the end of the text before a block.
func notes(before string) (first, notRun string) {
	for {
		text, ends := strings.CutSuffix(strings.TrimRight(before, "\n"), "-->")
		at := strings.LastIndex(text, "<!--")
		if !ends || at < 0 {
			return first, notRun
		}
		before = text[:at]
		if commands, is := strings.CutPrefix(text[at:], "<!-- first:"); is {
			first = strings.TrimSpace(commands)
		} else if why, is := strings.CutPrefix(text[at:], "<!-- not run:"); is {
			notRun = strings.TrimSpace(why)
		}
	}
}

// looksLikeCommands reports whether a block of another language is one of commands.
func looksLikeCommands(lines []string) bool {
	return len(lines) > 0 && regexp.MustCompile(`^([#$] )?(slipway|bin/slipway|aws|curl|docker|make) `).MatchString(lines[0])
}

// prompt is what a line of a session with a command begins with.
var prompt = regexp.MustCompile(`^[#$] `)

// session reads a block of the language console: commands behind prompts, and between
// them what they print.
func session(lines []string, at int) (commands []command, err error) {
	for i := 0; i < len(lines); i++ {
		if !prompt.MatchString(lines[i]) {
			if len(commands) == 0 {
				return nil, fmt.Errorf("line %d: a session begins with a prompt, # or $", at+i)
			}
			last := &commands[len(commands)-1]
			last.output = append(last.output, lines[i])
			continue
		}
		text, n, err := complete(lines[i:], 2)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", at+i, err)
		}
		commands = append(commands, command{line: at + i, text: text})
		i += n - 1
	}
	return commands, nil
}

// script reads a block of the language sh: commands without output.
func script(lines []string, at int) (commands []command, err error) {
	for i := 0; i < len(lines); i++ {
		if lines[i] == "" {
			continue
		}
		text, n, err := complete(lines[i:], 0)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", at+i, err)
		}
		commands = append(commands, command{line: at + i, text: text})
		i += n - 1
	}
	return commands, nil
}

// complete returns the command at the beginning of lines, whose first one has a prompt of
// so many bytes, and how many lines it takes.
func complete(lines []string, promptLength int) (text string, n int, err error) {
	text = lines[0][promptLength:]
	for n = 1; ; n++ {
		if !strings.HasSuffix(text, `\`) && exec.Command("bash", "-n", "-c", text).Run() == nil {
			return text, n, nil
		}
		if n == len(lines) {
			return "", 0, fmt.Errorf("the shell finds no end of the command %s", lines[0])
		}
		text += "\n" + lines[n]
	}
}

func TestParsePage(t *testing.T) {
	t.Parallel()
	const page = "# About\n<!-- first: touch a -->\n<!-- not run: it needs\na name -->\n```console\n# one 'a\n b' \\\n  c\nout\nput\n$ two\n```\ntext\n\n```sh\nthree 'X\nX'\n\nfour\n```\n```yaml\na: b\n```\n"
	blocks, err := parsePage(page)
	if err != nil {
		t.Fatal(err)
	}
	want := []block{
		{line: 5, first: "touch a", notRun: "it needs\na name", commands: []command{
			{line: 6, text: "one 'a\n b' \\\n  c", output: []string{"out", "put"}},
			{line: 11, text: "two"},
		}},
		{line: 15, commands: []command{{line: 16, text: "three 'X\nX'"}, {line: 19, text: "four"}}},
	}
	if diff := cmp.Diff(want, blocks, cmp.AllowUnexported(block{}, command{})); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"```console\nno prompt\n```\n", "```console\n# 'open\n```\n", "```basic\n10 GOTO 10\n```\n", "```\nslipway ls\n```\n"} {
		if blocks, err := parsePage(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, blocks)
		}
	}
}
