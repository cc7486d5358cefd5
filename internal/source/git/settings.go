package git

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/openslipway/slipway/internal/source/git/confine"
)

// The program's view of its files.
const (
	viewHome   = "/home"
	viewWork   = "/work"
	viewSource = "/source" // of a local repository

	sshProgram = "/usr/bin/ssh"
)

// settings are git's configuration for all runs. Each answers something that a
// repository, a server or the host could otherwise decide.
func settings() []string {
	return []string{
		"core.hooksPath=/dev/null",
		"core.fsmonitor=false",
		"core.attributesFile=/dev/null",
		"core.excludesFile=/dev/null",
		"core.logAllRefUpdates=false",
		"core.protectHFS=true",
		"core.protectNTFS=true",
		"core.symlinks=true",
		"core.autocrlf=false",
		"core.packedGitLimit=256m",
		"core.deltaBaseCacheLimit=64m",
		"core.bigFileThreshold=16m",
		"pack.threads=1",
		"credential.helper=",
		"submodule.recurse=false",
		"fetch.recurseSubmodules=false",
		"fetch.unpackLimit=1", // one pack, not a file for each object
		"transfer.fsckObjects=true",
		// Mistakes of old programs in good repositories; none of them is dangerous.
		"fetch.fsck.zeroPaddedFilemode=ignore",
		"fetch.fsck.missingSpaceBeforeDate=ignore",
		"fetch.fsck.badTimezone=ignore",
		"fetch.fsck.missingSpaceBeforeEmail=ignore",
		"gc.auto=0",
		"maintenance.auto=false",
		"protocol.version=2",
		"advice.detachedHead=false",
		"http.lowSpeedLimit=1000", // bytes a second
		"http.lowSpeedTime=60",    // seconds
		"http.proxy=socks5h://" + confine.Address,
		"safe.directory=*", // a local repository has another owner
	}
}

// configFile writes settings in the form of git's configuration file. A file holds
// for the programs that git starts, too, such as the server of a local repository.
func configFile(settings []string) string {
	var b strings.Builder
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		dot := strings.LastIndexByte(key, '.')
		section, sub, nested := strings.Cut(key[:dot], ".")
		if nested {
			fmt.Fprintf(&b, "[%s %q]\n", section, sub)
		} else {
			fmt.Fprintf(&b, "[%s]\n", section)
		}
		fmt.Fprintf(&b, "\t%s = %q\n", key[dot+1:], value)
	}
	return b.String()
}

// environment returns the whole environment of a run. A credential for HTTP is in
// it, and so in no argument and no file. It is bound to the origin of the
// repository, and no redirect is followed while there is one: git would present it
// to the host that it is redirected to.
func environment(protocols []string, remote *url.URL, header string) []string {
	env := []string{
		"PATH=/usr/bin:/bin:/usr/sbin:/sbin",
		"HOME=" + viewHome,
		"TMPDIR=" + viewWork + "/tmp",
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + viewHome + "/gitconfig",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_ALLOW_PROTOCOL=" + strings.Join(protocols, ":"),
		"GIT_NO_LAZY_FETCH=1",
		"GIT_NO_REPLACE_OBJECTS=1",
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_SSH=" + sshProgram,
		"GIT_SSH_VARIANT=ssh",
		"SSH_ASKPASS_REQUIRE=never",
	}
	redirects := "initial"
	var pairs [][2]string
	if header != "" {
		redirects = "false"
		origin := url.URL{Scheme: remote.Scheme, Host: remote.Host}
		pairs = append(pairs, [2]string{"http." + origin.String() + "/.extraHeader", header})
	}
	pairs = append(pairs, [2]string{"http.followRedirects", redirects})
	for i, p := range pairs {
		n := strconv.Itoa(i)
		env = append(env, "GIT_CONFIG_KEY_"+n+"="+p[0], "GIT_CONFIG_VALUE_"+n+"="+p[1])
	}
	return append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(len(pairs)))
}

// hostAlias is the name of a server in known_hosts.
func hostAlias(remote *url.URL) string {
	host := strings.ToLower(remote.Hostname())
	if port := remote.Port(); port != "" && port != "22" {
		return "[" + host + "]:" + port
	}
	return host
}

// sshConfig is ssh's configuration. Every connection goes to the relay, which knows
// the server; the server's key must be the one that is known of the host.
func sshConfig(remote *url.URL) string {
	host, port, _ := strings.Cut(confine.Address, ":")
	lines := []string{
		"Host *",
		"HostName " + host,
		"Port " + port,
		"HostKeyAlias " + hostAlias(remote),
		"BatchMode yes",
		"CheckHostIP no",
		"ConnectTimeout 20",
		"ControlMaster no",
		"ForwardAgent no",
		"GlobalKnownHostsFile /dev/null",
		"IdentitiesOnly yes",
		"IdentityAgent none",
		"IdentityFile " + viewHome + "/key",
		"LogLevel ERROR",
		"PermitLocalCommand no",
		"PreferredAuthentications publickey",
		"ServerAliveInterval 20",
		"StrictHostKeyChecking yes",
		"UpdateHostKeys no",
		"UserKnownHostsFile " + viewHome + "/known_hosts",
	}
	return strings.Join(lines, "\n") + "\n"
}
