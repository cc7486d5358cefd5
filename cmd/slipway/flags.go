package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/cli/term"
)

// The checks of flags and arguments before anything is sent. Each returns an error that
// names the flag, the value and what is allowed, or nil. The API checks again; what only
// it knows, such as quotas, is left to it.

// size is what an instance can have: a CPU in vCPU and the memory in GB that goes with
// it. https://docs.aws.amazon.com/apprunner/latest/api/API_InstanceConfiguration.html
type size struct {
	cpu    string
	memory []string
}

var instanceSizes = []size{
	{"0.25", []string{"0.5", "1"}},
	{"0.5", []string{"1"}},
	{"1", []string{"2", "3", "4"}},
	{"2", []string{"4", "6"}},
	{"4", []string{"8", "10", "12"}},
}

// checkSize checks the values of --cpu and --memory. An empty value was not given and is
// not checked. If both are given, it also checks that App Runner has such an instance.
func checkSize(cpu, memory string) error {
	var cpus, memories []string
	for _, s := range instanceSizes {
		cpus = append(cpus, s.cpu)
		for _, m := range s.memory {
			if !slices.Contains(memories, m) {
				memories = append(memories, m)
			}
		}
	}
	c, m := bareNumber(cpuForPeople(cpuValue(cpu)), "vCPU"), bareNumber(memoryForPeople(memoryValue(memory)), "GB")
	switch {
	case cpu != "" && !slices.Contains(cpus, c):
		return fmt.Errorf("--cpu is %s; it can be %s", shownValue(cpu), orList(cpus))
	case memory != "" && !slices.Contains(memories, m):
		return fmt.Errorf("--memory is %s; it can be %s", shownValue(memory), orList(memories))
	case cpu == "" || memory == "":
		return nil
	}
	return checkPair(c, m)
}

// checkPair checks that a CPU in vCPU can have a memory in GB.
func checkPair(cpu, memory string) error {
	for _, s := range instanceSizes {
		if s.cpu == cpu && !slices.Contains(s.memory, memory) {
			return fmt.Errorf("%s vCPU can't have %s GB of memory; with --cpu %[1]s, --memory can be %[3]s", cpu, memory, orList(s.memory))
		}
	}
	return nil
}

// bareNumber returns a quantity without its unit.
func bareNumber(s, unit string) string { return strings.TrimSpace(strings.TrimSuffix(s, unit)) }

// shownValue returns a value as it is quoted in an error: bare, if that can't be misread.
func shownValue(s string) string {
	if s == "" || strings.ContainsAny(s, " \t\n\"") {
		return strconv.Quote(s)
	}
	return s
}

func checkPort(flag, s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != s {
		return fmt.Errorf("%s is %s; it must be a port from 1 to 65535", flag, shownValue(s))
	}
	return nil
}

func checkSizes(s sizes, given func(flag string) bool) error {
	for _, f := range []struct {
		flag        string
		value, most int32
	}{{"min", s.least, 25}, {"max", s.most, 0}, {"concurrency", s.concurrency, 200}} {
		switch {
		case !given(f.flag):
		case f.most > 0 && (f.value < 1 || f.value > f.most):
			return fmt.Errorf("--%s is %d; it must be 1 to %d", f.flag, f.value, f.most)
		case f.value < 1:
			return fmt.Errorf("--%s is %d; it must be at least 1", f.flag, f.value)
		}
	}
	if given("min") && given("max") && s.least > s.most {
		return fmt.Errorf("--min is %d and --max is %d; the minimum can't be greater than the maximum", s.least, s.most)
	}
	return nil
}

var serviceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{3,39}$`)

func checkServiceName(flag, s string) error {
	if !serviceName.MatchString(s) {
		return fmt.Errorf("%s is %s; a service's name is 4 to 40 letters, digits, - and _, and begins with a letter or a digit", flag, shownValue(s))
	}
	return nil
}

func checkHealthPath(s string) error {
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }
	if !strings.HasPrefix(s, "/") || strings.ContainsFunc(s, bad) {
		return fmt.Errorf("--health-path is %s; it must be a path that begins with / and has no spaces, such as /health", shownValue(s))
	}
	return nil
}

func checkStartCommand(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return errors.New("--start-command is empty; leave it out to run the image's own command")
	case strings.ContainsAny(s, "\r\n"):
		return errors.New("--start-command has several lines; write them into a script in the image, or join them with && in sh -c '...'")
	}
	return nil
}

// checkOneKind checks that no variable is both set and something else.
func checkOneKind(set map[string]string, secrets, unset []string) error {
	kinds := map[string]string{}
	for name := range set {
		kinds[name] = "--env"
	}
	for _, s := range secrets {
		name, _, _ := strings.Cut(s, "=")
		if other := kinds[name]; other != "" {
			return fmt.Errorf("%s is given by both %s and --secret", name, other)
		}
		kinds[name] = "--secret"
	}
	for _, name := range unset {
		switch {
		case name == "" || strings.Contains(name, "="):
			return fmt.Errorf("--unset-env is %s; it must be the name of a variable", shownValue(name))
		case kinds[name] != "":
			return fmt.Errorf("%s is given by both %s and --unset-env", name, kinds[name])
		}
	}
	return nil
}

var domainLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func checkDomain(s string) error {
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		return fmt.Errorf("%s is a URL; a domain is only the host in it: %s", shownValue(s), u.Hostname())
	}
	labels := strings.Split(strings.TrimPrefix(strings.ToLower(s), "*."), ".")
	for _, l := range labels {
		if !domainLabel.MatchString(l) {
			return fmt.Errorf("%s is no domain; a domain is like example.com, shop.example.com or *.example.com", shownValue(s))
		}
	}
	if len(labels) < 2 {
		return fmt.Errorf("%s is no domain of the Internet; a domain is like example.com, shop.example.com or *.example.com", shownValue(s))
	}
	return nil
}

// checkWebURL checks the URL of a webhook.
func checkWebURL(s string) error {
	if u, err := url.Parse(s); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return fmt.Errorf("%s is no URL of a webhook; it must begin with http:// or https:// and a host", shownValue(s))
	}
	return nil
}

// namePattern says what the names of a kind of resource are.
type namePattern struct {
	form *regexp.Regexp
	says string
}

var (
	secretNames     = namePattern{regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`), "a secret's name is 1 to 512 letters, digits and / _ + = . @ -"}
	userNames       = namePattern{regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{1,64}$`), "a user's name is 1 to 64 letters, digits and _ + = , . @ -"}
	policyNames     = namePattern{regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{1,128}$`), "a policy's name is 1 to 128 letters, digits and _ + = , . @ -"}
	connectionNames = namePattern{regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{3,31}$`), "a connection's name is 4 to 32 letters, digits, - and _, and begins with a letter or a digit"}
)

// check checks the name of something new.
func (p namePattern) check(name string) error {
	if !p.form.MatchString(name) {
		return fmt.Errorf("%s is no name; %s", shownValue(name), p.says)
	}
	return nil
}

// reason returns what went wrong with a file without its path, which the caller names.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// checkResize checks the pair of CPU and memory if only one of them is given: the other
// one is what the service has.
func (up *upCommand) checkResize(have *types.InstanceConfiguration, since string) error {
	if have == nil || (up.cpu == "") == (up.memory == "") {
		return nil
	}
	flag, missing, is := "--memory", "cpu", cpuForPeople(aws.ToString(have.Cpu))
	cpu, memory := is, memoryForPeople(memoryValue(up.memory))
	if up.cpu != "" {
		flag, missing, is = "--cpu", "memory", memoryForPeople(aws.ToString(have.Memory))
		cpu, memory = cpuForPeople(cpuValue(up.cpu)), is
	}
	if err := checkPair(bareNumber(cpu, "vCPU"), bareNumber(memory, "GB")); err != nil {
		return &client.Problem{Misuse: true, Text: err.Error(), Hint: fmt.Sprintf("Give --%s with %s; it is %s %s.", missing, flag, is, since)}
	}
	return nil
}

const (
	envUsage     = "set an environment variable: `NAME=value`, or NAME to pass on the value that it has here; repeatable"
	envFileUsage = "set variables from a `file` of NAME=value lines in dotenv's form; repeatable"
)

// nameService derives a service's name from a title, and says so if they differ.
func (m *Main) nameService(title string) string {
	last := title[strings.LastIndexByte(title, '/')+1:]
	name := defaultServiceName(title)
	if name != last {
		m.progress().Say(term.Plain, "The service is called %s: %q can't be a service's name. --name chooses another.", name, last)
	}
	return name
}
