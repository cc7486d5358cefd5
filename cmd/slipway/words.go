package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openslipway/slipway/internal/cli/client"
)

// unknownCommand is the error of a command that does not exist: it names what was
// meant, or else what exists.
func unknownCommand(cmd *cobra.Command, name string) error {
	return usageError(cmd, "there is no command %q%s", strings.TrimSpace(verb(cmd)+" "+name), meant(cmd, name))
}

// meant says what a word that is no command of cmd stands for: the word of another
// tool, a mistyped one, or else the list of what exists.
func meant(cmd *cobra.Command, word string) string {
	word = strings.ToLower(word)
	if !cmd.HasParent() {
		first, _, _ := strings.Cut(word, ":") // heroku's config:set
		for _, w := range []string{word, first} {
			if advice, ok := foreignWords[w]; ok {
				return "; " + advice
			}
		}
	}
	names := commandNames(cmd)
	for _, same := range sameWords {
		if !slices.Contains(same, word) {
			continue
		}
		for _, ours := range same {
			if slices.Contains(names, ours) {
				return fmt.Sprintf("; it is `%s %s` here", cmd.CommandPath(), ours)
			}
		}
	}
	if near := client.Nearest(word, names); len(near) > 0 {
		return "; did you mean " + orList(near) + "?"
	}
	if cmd.HasParent() {
		return "; there are " + strings.Join(names, ", ")
	}
	return ""
}

// commandNames returns the names of the commands below cmd.
func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			names = append(names, c.Name())
		}
	}
	return names
}

func orList(words []string) string {
	if len(words) < 3 {
		return strings.Join(words, " or ")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// sameWords are words of other tools for what a command below a group does.
var sameWords = [][]string{
	{"ls", "list", "all", "index", "get-all"},
	{"rm", "delete", "remove", "destroy", "del", "erase", "unset", "purge", "rmi", "drop", "disassociate"},
	{"create", "add", "new", "make", "put", "import", "register"},
	{"put", "set", "create", "add", "new", "update", "write", "edit"},
	{"add", "create", "new", "associate"},
	{"import", "push", "load", "pull", "upload"},
	{"show", "get", "describe", "info", "inspect", "view", "cat", "reveal", "status"},
	{"get", "show", "describe", "info", "inspect", "view", "cat", "reveal", "read"},
	{"prune", "gc", "clean", "cleanup"},
	{"rotate", "renew", "change"},
	{"cancel", "abort", "stop", "kill", "undo"},
	{"activate", "enable"},
	{"deactivate", "disable"},
	{"attach", "grant", "allow", "assign"},
	{"detach", "revoke", "deny"},
	{"simulate", "can-i", "check", "why"},
	{"complete", "login", "connect", "authorize"},
	{"webhook", "hook", "hooks"},
	{"test", "ping", "send"},
}

// foreignWords are commands of docker, heroku, fly, kubectl, the AWS CLI and others,
// and what does the same here. A word that names a command of ours is never looked up.
var foreignWords = byWord(map[string]string{
	"ps status services service svc apps app container containers list-services": "`slipway ls` lists services, `slipway describe SERVICE` shows one with its instances",
	"instances instance pods pod machines machine dynos replicas":                "`slipway describe SERVICE` shows a service with its instances",
	"info show get inspect view describe-service":                                "`slipway describe SERVICE` shows a service, `slipway ls` lists them",
	"delete remove destroy del teardown down delete-service":                     "`slipway rm SERVICE` deletes a service, `slipway pause SERVICE` stops it",
	"stop kill suspend sleep halt pause-service":                                 "`slipway pause SERVICE` stops a service and keeps its URL and configuration",
	"start unpause wake resume-service":                                          "`slipway resume SERVICE` starts a paused service, `slipway up` creates one",
	"restart reload redeploy bounce reboot refresh start-deployment":             "`slipway deploy SERVICE` replaces all instances of a service",
	"run create launch apply push publish ship release new add create-service":   "`slipway up DIR|FILE|IMAGE` creates a service or deploys to it",
	"update edit patch update-service change":                                    "`slipway up IMAGE --name SERVICE` with the flags to change updates a service",
	"config set unset vars env-vars variables setenv":                            "`slipway up IMAGE --name SERVICE --env NAME=value` sets a variable, `--unset-env NAME` removes it",
	"scale autoscale resize hpa concurrency":                                     "`slipway up IMAGE --name SERVICE --min 2 --max 10` sets the number of instances, `--cpu` and `--memory` their size",
	"rollback undo revert":                                                       "`slipway up IMAGE@DIGEST --name SERVICE` deploys an earlier image again, `slipway ops cancel SERVICE` ends a deployment in progress",
	"releases history rollout deployments deployment list-operations activity":   "`slipway ops SERVICE` lists the operations of a service",
	"cancel abort": "`slipway ops cancel SERVICE` cancels the operation in progress",
	"wait":         "`slipway up`, `deploy`, `pause`, `resume` and `rm` wait by themselves; `slipway ops SERVICE` shows how far they are",
	"open browse url urls endpoint endpoints":                        "`slipway ls` shows the URL of each service",
	"tail log attach output journal":                                 "`slipway logs -f SERVICE` follows the output of a service's instances",
	"events event":                                                   "`slipway logs SERVICE --events` shows the events of a service",
	"exec ssh shell console bash sh enter debug":                     "nobody can enter an instance; `slipway logs -f SERVICE` follows its output, `slipway describe SERVICE` shows its state",
	"stats metrics usage htop":                                       "`slipway top` shows the load of services, `slipway describe SERVICE` the instances; `slipway serve --metrics-addr` has all figures for Prometheus",
	"cp volume volumes disk disks network port-forward proxy":        "a service has neither volumes nor ports other than its own; docs/compatibility.md says what it has",
	"port ports expose":                                              "`slipway up IMAGE --port 3000` sets the port that the application listens on",
	"secrets":                                                        "`slipway secret` manages secrets, `slipway up --secret NAME=SECRET` gives one to a service",
	"certs cert certificates tls ssl https domains dns route routes": "`slipway domain` manages the custom domains of services, `slipway serve --https-addr` has TLS, `slipway trust` accepts its certificates here",
	"login logout auth authenticate context contexts profile profiles signin token tokens": "there is nothing to log in to: requests are signed with an access key (--credentials), `slipway iam key create USER` makes one",
	"whoami account id": "`slipway version` names the server; `slipway iam user ls` lists the users",
	"users user access permissions roles role policy policies members teams": "`slipway iam` manages users, their access keys and policies",
	"keys": "`slipway iam key` manages access keys, `slipway key` the key that secrets are encrypted under",
	"images pull rmi tag load save registry import repositories": "`slipway image` manages the images of the server's registry",
	"prune gc system clean cleanup":                              "`slipway image prune` removes images that no service uses, `slipway build prune` the caches of builds",
	"builds buildx buildpacks":                                   "`slipway up DIR` builds and deploys source code, `slipway check` only tries",
	"server daemon agent serve-api":                              "`slipway serve` runs the server",
	"webhooks webhook hook notifications":                        "`slipway hooks` manages webhooks",
	"connections repo repos git github":                          "`slipway connection` manages the connections to providers of source code",
	"validate verify doctor":                                     "`slipway check` tries whether a directory would deploy, `slipway lint` checks its apprunner.yaml",
	"runtime buildpack languages stacks":                         "`slipway runtimes` lists the runtimes of builds",
	"trail history-of who":                                       "`slipway audit` shows who changed what",
	"apprunner aws ecr logs-insights":                            "`eval \"$(slipway env)\"` points the AWS CLI at the server; then run `aws apprunner ...`",
	"self-update self-upgrade":                                   "replace the binary and run `slipway upgrade`: the new server takes over without losing a request",
	"docs manual usage-help":                                     "`slipway help COMMAND` describes a command",
	"autocomplete completions":                                   "`slipway completion` writes the script for a shell",
})

// byWord returns the table with one entry for each of the words in its keys.
func byWord(table map[string]string) map[string]string {
	out := map[string]string{}
	for words, text := range table {
		for _, w := range strings.Fields(words) {
			out[w] = text
		}
	}
	return out
}

// meantFlag says what a flag that cmd does not have stands for.
func meantFlag(cmd *cobra.Command, name string) string {
	var names []string
	add := func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	}
	cmd.Flags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	slices.Sort(names)
	names = slices.Compact(names)
	if same, ok := foreignFlags[name]; ok {
		for _, ours := range strings.Fields(same) {
			if flag, _, _ := strings.Cut(ours, "="); slices.Contains(names, flag) {
				return "; it is --" + ours + " here"
			}
		}
	}
	if len(name) == 1 {
		return "" // too short to guess
	}
	var near []string
	for _, n := range client.Nearest(name, names) {
		near = append(near, "--"+n)
	}
	if len(near) > 0 {
		return "; did you mean " + orList(near) + "?"
	}
	return ""
}

// foreignFlags are flags of other tools, and ours that do the same; of several, the
// first that the command has.
var foreignFlags = byWord(map[string]string{
	"a app service service-name s":           "name service",
	"t tag":                                  "name",
	"p publish expose container-port listen": "port",
	"d detach async no-wait background":      "wait=false",
	"o output format":                        "json",
	"f filename force-yes assume-yes confirm force no-input quiet": "yes follow",
	"y":                                     "yes",
	"variable var set env-var config":       "env",
	"env-vars envfile env-vars-file dotenv": "env-file",
	"unset remove-env env-rm rm-env":        "unset-env",
	"replicas scale min-instances min-size min-scale count instances": "min",
	"max-instances max-size max-scale":                                "max",
	"max-concurrency":                                                 "concurrency",
	"cpus vcpu vcpus cpu-limit":                                       "cpu",
	"mem m memory-limit ram":                                          "memory",
	"cmd command entrypoint":                                          "start-command",
	"health health-check health-check-path healthcheck healthz-path":  "health-path",
	"tail limit number last":                                          "lines number",
	"url server host api address H":                                   "endpoint",
	"key config-file aws-config profile":                              "credentials",
	"data data-directory":                                             "data-dir",
	"days-to-keep keep-for older-than unused":                         "unused-for",
	"username u":         "user",
	"secrets secret-env": "secret",
})
