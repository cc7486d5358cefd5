package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
)

// codeSource is a source configuration with a public repository elsewhere; members
// are added to the CodeRepository.
func codeSource(members ...string) string {
	return `"SourceConfiguration":{"CodeRepository":{` + strings.Join(append([]string{
		`"RepositoryUrl":"https://git.example.com/shop.git","SourceCodeVersion":{"Type":"BRANCH","Value":"main"}`,
	}, members...), ",") + `}}`
}

// object reads a JSON object.
func object(t testing.TB, text string) (doc map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return doc
}

// inside returns a member of an object by its path.
func inside(t testing.TB, doc map[string]any, path ...string) any {
	t.Helper()
	var v any = doc
	for _, name := range path {
		members, ok := v.(map[string]any)
		if !ok || members[name] == nil {
			t.Fatalf("%v has no %s", v, name)
		}
		v = members[name]
	}
	return v
}

const (
	fromFile = `"CodeConfiguration":{"ConfigurationSource":"REPOSITORY"}`
	fromAPI  = `"CodeConfiguration":{"ConfigurationSource":"API","CodeConfigurationValues":{"Runtime":"PYTHON_311","BuildCommand":"make","StartCommand":"python3 app.py && echo",` +
		`"Port":"9000","RuntimeEnvironmentVariables":{"A":"1","B":"2"}}}`
)

// What a call says of a code repository and what the service shows then.
func TestCodeRepository(t *testing.T) {
	t.Parallel()
	const repo = `"RepositoryUrl":"https://git.example.com/shop.git","SourceCodeVersion":{"Type":"BRANCH","Value":"main"}`
	whole := func(configuration, directory string) string {
		return `{"AutoDeploymentsEnabled":true,"CodeRepository":{` + repo + `,"SourceDirectory":"` + directory + `",` + configuration + `}}`
	}
	for name, c := range map[string]struct{ members, want string }{
		"from the file":           {codeSource(fromFile), whole(fromFile, "/")},
		"values are ignored":      {codeSource(`"CodeConfiguration":{"ConfigurationSource":"REPOSITORY","CodeConfigurationValues":{"Runtime":"GO_1","Port":"x"}}`), whole(fromFile, "/")},
		"from the API":            {codeSource(fromAPI), whole(fromAPI, "/")},
		"default port":            {codeSource(`"CodeConfiguration":{"ConfigurationSource":"API","CodeConfigurationValues":{"Runtime":"GO_1"}}`), whole(`"CodeConfiguration":{"ConfigurationSource":"API","CodeConfigurationValues":{"Runtime":"GO_1","Port":"8080"}}`, "/")},
		"directory":               {codeSource(fromFile, `"SourceDirectory":"/services/shop"`), whole(fromFile, "/services/shop")},
		"directory without slash": {codeSource(fromFile, `"SourceDirectory":"services/shop/"`), whole(fromFile, "services/shop/")},
		"not automatic": {
			strings.Replace(codeSource(fromFile), `"SourceConfiguration":{`, `"SourceConfiguration":{"AutoDeploymentsEnabled":false,`, 1),
			strings.Replace(whole(fromFile, "/"), "true", "false", 1),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, withCode)
			doc := b.OK("AppRunner.CreateService", `{"ServiceName":"shop",`+c.members+`}`)
			for _, s := range []any{doc["Service"], b.OK("AppRunner.DescribeService", arnBody(inside(t, doc, "Service", "ServiceArn").(string)))["Service"]} {
				if d := cmp.Diff(any(object(t, c.want)), s.(map[string]any)["SourceConfiguration"]); d != "" {
					t.Errorf("SourceConfiguration (-want +got):\n%s", d)
				}
			}
		})
	}
}

func TestCodeRepositoryRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, withCode)
	arn := *b.connect("code").ConnectionArn
	b.complete("code", "good")
	values := func(members string) string {
		return codeSource(`"CodeConfiguration":{"ConfigurationSource":"API","CodeConfigurationValues":{"Runtime":"GO_1"` + members + `}}`)
	}
	replaced := func(old, by string) string { return strings.Replace(codeSource(fromFile), old, by, 1) }
	authenticated := func(auth string) string {
		return replaced(`"SourceConfiguration":{`, `"SourceConfiguration":{"AuthenticationConfiguration":`+auth+`,`)
	}
	for members, message := range map[string]string{
		codeSource(): "CodeRepository: CodeConfiguration is required",
		codeSource(`"CodeConfiguration":{"ConfigurationSource":"API"}`):                                                   "ConfigurationSource API requires CodeConfigurationValues",
		codeSource(`"CodeConfiguration":{"ConfigurationSource":"FILE"}`):                                                  "enum value set: [REPOSITORY, API]",
		codeSource(`"CodeConfiguration":{"ConfigurationSource":"API","CodeConfigurationValues":{"Runtime":"python312"}}`): "failed to satisfy constraint: Member must satisfy enum value set: [PYTHON_3,",
		replaced("https://git", "http://git"):                                                                             "CodeRepository: The URL must begin with https://.",
		replaced(`"BRANCH"`, `"TAG"`):                                                                                     "enum value set: [BRANCH]",
		replaced(`"main"`, `"-x"`):                                                                                        `Value "-x" is no name of a branch`,
		replaced(`"main"`, `""`):                                                                                          `Value "" is no name of a branch: it is empty`,
		replaced(`"main"`, `"a..b"`):                                                                                      "is no name of a branch",
		replaced(`"main"`, `"a b"`):                                                                                       "is no name of a branch",
		replaced(`"main"`, `"a.lock/b"`):                                                                                  "is no name of a branch",
		codeSource(fromFile, `"SourceDirectory":"/a/../.."`):                                                              `SourceDirectory "/a/../.." has the part ".."`,
		codeSource(fromFile, `"SourceDirectory":"/.git/hooks"`):                                                           "is in .git",
		codeSource(fromFile, `"SourceDirectory":"a//b"`):                                                                  "has an empty part",
		codeSource(fromFile, `"SourceDirectory":"a\nb"`):                                                                  "has a backslash or a control character",
		values(`,"Port":"0"`):                                                                                             `CodeConfigurationValues: Port "0" is not a number from 1 to 65535`,
		values(`,"RuntimeEnvironmentVariables":{"PORT":"1"}`):                                                             `RuntimeEnvironmentVariables: "PORT" is reserved: it is set to CodeConfigurationValues.Port`,
		values(`,"RuntimeEnvironmentSecrets":{"PORT":"/x"}`):                                                              `RuntimeEnvironmentSecrets: "PORT" is reserved`,
		values(`,"RuntimeEnvironmentSecrets":{"A":"not a name"}`):                                                         `the value of "A" is no reference`,
		values(`,"RuntimeEnvironmentSecrets":{"A":"/prod/a"}`):                                                            "Instance Role have to be provided",
		values(`,"BuildCommand":"a\u0000b"`):                                                                              "BuildCommand has a NUL",
		values(`,"StartCommand":"a\nb"`):                                                                                  "failed to satisfy constraint: Member must satisfy regular expression pattern",
		authenticated(`{"AccessRoleArn":"arn:aws:iam::000000000000:role/x"}`):                                             "an AccessRoleArn is for images",
		authenticated(`{"ConnectionArn":"` + arn + `"}`):                                                                  "connection code is for repositories of GITHUB, and https://git.example.com/shop.git is not one of them",
		strings.Replace(authenticated(`{"ConnectionArn":"`+arn+`"}`), "git.example.com", "bitbucket.org", 1):              "connection code is for repositories of GITHUB",
		replaced("git.example.com", "bitbucket.org"):                                                                      "a CodeRepository requires a ConnectionArn",
	} {
		b.Refused("AppRunner.CreateService", `{"ServiceName":"shop",`+members+`}`, "InvalidRequestException", message)
	}
	if l := b.OK("AppRunner.ListServices", "{}")["ServiceSummaryList"].([]any); len(l) != 0 {
		t.Errorf("refused calls left services behind: %v", l)
	}
	newBench(t, withProviders).Refused("AppRunner.CreateService", `{"ServiceName":"shop",`+codeSource(fromFile)+`}`, "InvalidRequestException", "this server builds no code; give an ImageRepository instead of the CodeRepository")
}

// Each update of a code service names what it changes; all else must stay.
func TestUpdateCodeRepository(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from, members string
		changes       map[string]string // path below CodeRepository to the new value in JSON
	}{
		"same values":    {fromAPI, `"InstanceConfiguration":{"Cpu":"1024"}`, nil},
		"automatic":      {fromAPI, `"SourceConfiguration":{"AutoDeploymentsEnabled":true}`, nil},
		"branch":         {fromAPI, strings.Replace(codeSource(), "main", "next", 1), map[string]string{"SourceCodeVersion": `{"Type":"BRANCH","Value":"next"}`}},
		"directory":      {fromAPI, codeSource(`"SourceDirectory":"/shop"`), map[string]string{"SourceDirectory": `"/shop"`}},
		"start command":  {fromAPI, codeSource(`"CodeConfiguration":{"ConfigurationSource":"API","CodeConfigurationValues":{"Runtime":"PYTHON_311","StartCommand":"x"}}`), map[string]string{"CodeConfiguration.CodeConfigurationValues.StartCommand": `"x"`}},
		"variables":      {fromAPI, codeSource(`"CodeConfiguration":{"ConfigurationSource":"API","CodeConfigurationValues":{"Runtime":"PYTHON_311","RuntimeEnvironmentVariables":{"B":"3"}}}`), map[string]string{"CodeConfiguration.CodeConfigurationValues.RuntimeEnvironmentVariables": `{"B":"3"}`}},
		"to the file":    {fromAPI, codeSource(fromFile), map[string]string{"CodeConfiguration": `{"ConfigurationSource":"REPOSITORY"}`}},
		"API again":      {fromAPI, codeSource(`"CodeConfiguration":{"ConfigurationSource":"API"}`), nil},
		"to the API":     {fromFile, codeSource(`"CodeConfiguration":{"ConfigurationSource":"API","CodeConfigurationValues":{"Runtime":"GO_1"}}`), map[string]string{"CodeConfiguration": `{"ConfigurationSource":"API","CodeConfigurationValues":{"Runtime":"GO_1","Port":"8080"}}`}},
		"file, as it is": {fromFile, codeSource(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, withCode)
			arn := inside(t, b.OK("AppRunner.CreateService", `{"ServiceName":"shop",`+codeSource(c.from, `"SourceDirectory":"/web"`)+`}`), "Service", "ServiceArn").(string)
			b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
			repository := func(doc map[string]any) map[string]any {
				return inside(t, doc, "Service", "SourceConfiguration", "CodeRepository").(map[string]any)
			}
			want := repository(b.OK("AppRunner.DescribeService", arnBody(arn)))
			for path, value := range c.changes {
				parent, steps := want, strings.Split(path, ".")
				for _, s := range steps[:len(steps)-1] {
					parent = parent[s].(map[string]any)
				}
				parent[steps[len(steps)-1]] = object(t, `{"v":`+value+`}`)["v"]
			}
			if d := cmp.Diff(want, repository(b.OK("AppRunner.UpdateService", arnBody(arn, c.members)))); d != "" {
				t.Errorf("the update's reply (-want +got):\n%s", d)
			}
		})
	}
}

func TestUpdateCodeRepositoryRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, withCode)
	arn := inside(t, b.OK("AppRunner.CreateService", `{"ServiceName":"shop",`+codeSource(fromFile)+`}`), "Service", "ServiceArn").(string)
	b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	for members, message := range map[string]string{
		image: "can't change from a code repository to an image",
		codeSource(`"CodeConfiguration":{"ConfigurationSource":"API"}`):                                                        "ConfigurationSource API requires CodeConfigurationValues",
		`"SourceConfiguration":{"CodeRepository":{"SourceDirectory":"/x"}}`:                                                    "'sourceConfiguration.codeRepository.repositoryUrl' failed to satisfy constraint: Member must not be null",
		strings.Replace(codeSource(), "git.example.com", "github.com", 1):                                                      "a CodeRepository requires a ConnectionArn",
		`"SourceConfiguration":{"AuthenticationConfiguration":{"AccessRoleArn":"` + "arn:aws:iam::000000000000:role/x" + `"}}`: "an AccessRoleArn is for images",
	} {
		b.Refused("AppRunner.UpdateService", arnBody(arn, members), "InvalidRequestException", message)
	}
}

// A repository that moves from its provider to another host leaves its connection
// behind: the token must not follow it.
func TestMovedRepositoryLosesItsConnection(t *testing.T) {
	t.Parallel()
	b := newBench(t, withCode)
	connection := *b.connect("code").ConnectionArn
	b.complete("code", "good")
	source := strings.Replace(codeSource(fromFile), "git.example.com", "github.com", 1)
	source = strings.Replace(source, `"SourceConfiguration":{`, `"SourceConfiguration":{"AuthenticationConfiguration":{"ConnectionArn":"`+connection+`"},`, 1)
	arn := inside(t, b.OK("AppRunner.CreateService", `{"ServiceName":"shop",`+source+`}`), "Service", "ServiceArn").(string)
	b.end(arn, slipway.OperationSucceeded, slipway.StatusRunning)
	shown := inside(t, b.OK("AppRunner.UpdateService", arnBody(arn, codeSource())), "Service", "SourceConfiguration").(map[string]any)
	if auth, ok := shown["AuthenticationConfiguration"]; ok {
		t.Errorf("the moved repository has %v", auth)
	}
}
