package config

import (
	"regexp"
	"slices"
	"strings"
)

// tokenForms are the credentials whose form says what they are, whatever the name
// beside them.
var tokenForms = []struct {
	what  string
	parts string // of which a text with such a credential has at least one: a cheap look before form
	form  *regexp.Regexp
}{
	{"an AWS access key id", "AKIA ASIA ABIA ACCA", regexp.MustCompile(`\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b`)},
	{"a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})\b`)},
	{"a GitLab token", "glpat- gldt- glrt- glptt- glft- glsoat- glcbt- glagent-", regexp.MustCompile(`\bgl(?:pat|dt|rt|ptt|ft|soat|cbt|agent)-[A-Za-z0-9_.-]{20,}`)},
	{"a Bitbucket or Atlassian token", "ATATT3 ATCTT3 ATBB", regexp.MustCompile(`\bAT(?:ATT3|CTT3|BB)[A-Za-z0-9_=-]{24,}`)},
	{"a Slack token", "xox xapp-", regexp.MustCompile(`\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[0-9]-[A-Za-z0-9-]{10,}`)},
	{"a Slack webhook URL", "hooks.slack.com", regexp.MustCompile(`hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}`)},
	{"a Discord webhook URL", "/api/webhooks/", regexp.MustCompile(`discord(?:app)?\.com/api/webhooks/[0-9]{15,20}/[A-Za-z0-9_-]{50,90}`)},
	{"a Discord bot's token", ".", regexp.MustCompile(`\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}\b`)},
	{"a Telegram bot's token", ":AA", regexp.MustCompile(`\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b`)},
	{"a Facebook or WhatsApp token", "EAA", regexp.MustCompile(`\bEAA[A-Za-z0-9]{90,}\b`)},
	{"a Stripe key", "sk_live rk_live sk_test rk_test whsec_", regexp.MustCompile(`\b(?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,}\b`)},
	{"a Square token", "sq0 EAAA", regexp.MustCompile(`\bsq0(?:csp|atp|idp)-[A-Za-z0-9_-]{22,60}|\bEAAA[A-Za-z0-9_-]{60}\b`)},
	{"a Shopify token", "shp", regexp.MustCompile(`\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b`)},
	{"a payment provider's key", "FLWSECK APP_USR-", regexp.MustCompile(`\bFLWSECK(?:_TEST)?-[0-9a-zA-Z]{12,40}(?:-X)?\b|\bAPP_USR-[0-9]{12,20}-[0-9]{4,8}-[0-9a-f]{32}`)},
	{"a Google API key", "AIza", regexp.MustCompile(`\bAIza[A-Za-z0-9_-]{35}`)},
	{"a Google OAuth secret", "GOCSPX-", regexp.MustCompile(`\bGOCSPX-[A-Za-z0-9_-]{20,64}`)},
	{"a Google OAuth token", "ya29. 1//0", regexp.MustCompile(`\bya29\.[A-Za-z0-9_-]{60,}|\b1//0[A-Za-z0-9_-]{40,}`)},
	{"a Firebase server key", ":APA91b", regexp.MustCompile(`\bAAAA[A-Za-z0-9_-]{7}:APA91b[A-Za-z0-9_-]{100,}`)},
	{"an OpenAI or Anthropic key", "sk-", regexp.MustCompile(`\bsk-(?:ant-|proj-|svcacct-)?[A-Za-z0-9_-]{20,}`)},
	{"a key of an AI provider", "gsk_ hf_ r8_ pplx- xai- tvly- pcsk_ lsv2_", regexp.MustCompile(`\b(?:gsk_[A-Za-z0-9]{40,80}|hf_[A-Za-z0-9]{30,50}|r8_[A-Za-z0-9]{37}|pplx-[A-Za-z0-9]{40,60}|xai-[A-Za-z0-9]{60,100}|tvly-[A-Za-z0-9-]{24,60}|pcsk_[A-Za-z0-9_]{40,100}|lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{8,12})\b`)},
	{"a SendGrid key", "SG.", regexp.MustCompile(`\bSG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}`)},
	{"a mail provider's key", "xkeysib- xsmtpsib- re_ key- md-", regexp.MustCompile(`\b(?:xkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}|xsmtpsib-[0-9a-f]{64}-[A-Za-z0-9]{16}|re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,32}|key-[0-9a-f]{32}|md-[A-Za-z0-9_-]{22})\b`)},
	{"a Twilio key", "SK", regexp.MustCompile(`\bSK[0-9a-f]{32}\b`)},
	{"an npm token", "npm_", regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}\b`)},
	{"a PyPI token", "pypi-", regexp.MustCompile(`\bpypi-[A-Za-z0-9_-]{32,}`)},
	{"a RubyGems key", "rubygems_", regexp.MustCompile(`\brubygems_[0-9a-f]{48}\b`)},
	{"a Docker Hub token", "dckr_", regexp.MustCompile(`\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}`)},
	{"a hosting provider's token", "_v1_ HRKU- fo1_ FlyV1 rnd_", regexp.MustCompile(`\b(?:do[opr]_v1_[0-9a-f]{64}|HRKU-[A-Za-z0-9_-]{30,70}|fo1_[A-Za-z0-9_-]{40,50}|FlyV1 fm[0-9]_[A-Za-z0-9+/=_-]{40,}|rnd_[A-Za-z0-9]{28,40})`)},
	{"a database provider's password", "pscale_ npg_ sbp_ sb_secret_", regexp.MustCompile(`\b(?:pscale_(?:pw|tkn|oauth)_[A-Za-z0-9_.-]{32,64}|npg_[A-Za-z0-9]{12}|sbp_[0-9a-f]{40}|sb_secret_[A-Za-z0-9_-]{20,50})\b`)},
	{"a Vault or Doppler token", "hvs. hvb. hvr. dp.", regexp.MustCompile(`\bhv[sbr]\.[A-Za-z0-9_-]{24,}|\bdp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{40,80}`)},
	{"a Databricks token", "dapi", regexp.MustCompile(`\bdapi[0-9a-f]{32}\b`)},
	{"a token of a service", "lin_api_ ntn_ secret_ pat NRAK- PMAK- glsa_ glc_ figd_ CFPAT-", regexp.MustCompile(`\b(?:lin_api_[A-Za-z0-9]{32,48}|ntn_[A-Za-z0-9]{40,50}|secret_[A-Za-z0-9]{43}|pat-[a-z]{2}[0-9]-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|NRAK-[A-Z0-9]{27}|PMAK-[0-9a-f]{24}-[0-9a-f]{34}|gl(?:sa|c)_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}|figd_[A-Za-z0-9_-]{36,60}|CFPAT-[A-Za-z0-9_-]{40,50}|pat[A-Za-z0-9]{14}\.[0-9a-f]{64})\b`)},
	{"a Mapbox secret token", "sk.eyJ", regexp.MustCompile(`\bsk\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}`)},
	{"an Azure key", "AccountKey= SharedAccessKey=", regexp.MustCompile(`\b(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,100}={0,2}`)},
	{"a Laravel key", "base64:", regexp.MustCompile(`\bbase64:[A-Za-z0-9+/]{43}=`)},
	{"a JSON Web Token", "eyJ", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`)},
	{"a private key", "PRIVATE KEY", regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:[\s\S]*?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|[\s\S]*)`)},
	{"an age key", "AGE-SECRET-KEY-1", regexp.MustCompile(`\bAGE-SECRET-KEY-1[A-Z0-9]{20,}`)},
}

// commandForms find passwords and tokens in commands; the group is the credential.
var commandForms = []*regexp.Regexp{
	regexp.MustCompile(`(?i)\b(?:bearer|basic)[ \t]+([A-Za-z0-9._~+/=-]{16,})`),
	regexp.MustCompile(`_(?:authToken|auth|password)=([A-Za-z0-9+/=_-]{8,})`),
	regexp.MustCompile(`\bcurl\b[^|;&]*?[ \t](?:-u|--user)[ \t]*["']?[^\s:"'$]+:([^\s"'$]{4,})`),
	regexp.MustCompile(`\b(?:mysql|mariadb)[a-z]*\b[^|;&]*?[ \t]-p([^\s"'$]{4,})`),
	regexp.MustCompile(`\b(?:docker|podman|buildah|crane)[ \t]+login\b[^|;&]*?[ \t]-p[ \t]+["']?([^\s"'$]{4,})`),
	regexp.MustCompile(`\bredis-cli\b[^|;&]*?[ \t]-a[ \t]+["']?([^\s"'$]{4,})`),
	regexp.MustCompile(`\baws_(?:secret_access_key|session_token)[ \t]+([A-Za-z0-9+/=]{20,})`),
	regexp.MustCompile(`(?i)(?:^|[ \t])--?[a-z0-9-]*(?:password|passwd|passphrase|secret|token|api-?key|access-?key)[ \t]+["']?([^\s"'$<>|&;=,-][^\s"'=,]{7,})`),
}

var (
	secretWord = regexp.MustCompile(`(?i)(?:^|[_.-])(?:[a-z0-9]*(?:passw(?:or)?d|passphrase|secret|token)s?|pwd|pass|pw|credentials?|api_?-?key|apikey|access_?-?key|private_?-?key|auth_?-?key|signing_?-?key|encryption_?-?key|master_?-?key|secret_?-?key|service_?role_?key|jwt_?key|salt)(?:$|[_.-])|(?:[a-z0-9](?:ApiKey|AccessKey|PrivateKey|SecretKey))`)
	// keyWord are names that may hold a key: only a value that looks random counts.
	keyWord      = regexp.MustCompile(`(?i)[_.-]key(?:_?[0-9])?$|[a-z0-9]Key$`)
	passwordish  = regexp.MustCompile(`(?i)passw(?:or)?d|passphrase|pwd|(?:^|_)(?:pass|pw)(?:$|_)`)
	randomValue  = regexp.MustCompile(`^[A-Za-z0-9+/_=-]{24,}$`)
	letterInside = regexp.MustCompile(`[A-Za-z]`)
	digitInside  = regexp.MustCompile(`[0-9]`)

	// notSecret are the endings of names that speak about a secret and hold none, and
	// names of which a part that looks like a secret's is something else.
	notSecret = regexp.MustCompile(`(?i)[_.-](?:len(?:gth)?|min|max|ttl|expir[a-z_]*|exp|age|lifetime|duration|timeout|minutes|seconds|hours|days|name|names|arn|path|file|dir|url|uri|endpoint|host|id|enabled?|required|disabled|algorithm|alg|issuer|audience|header|headers|type|format|prefix|suffix|field|policy|rotation|version|region|provider|backend|count|limit|size|rounds|cookie|scope|scopes|from|hashers?|encoder|validators?|strategy)$` +
		`|(?i)(?:^|[_.-])(?:public|publishable)[_.-]|(?i)^(?:max|min|use|enable|allow|require)_|(?i)(?:max|min|num|total|completion|context)_?tokens?$|(?i)pass_?-?through|(?i)(?:primary|foreign|sort|partition|cache|idempotency|object|s3|hash|range|group|dedup[a-z]*|anon|map|storage|session|cookie|index|lookup)_?key$`)
	// fileValue and moduleValue are values that name where something is.
	fileValue   = regexp.MustCompile(`(?i)^[\w./-]+\.(?:json|pem|key|p12|pfx|crt|cer|txt|ya?ml|env|jks|properties)$`)
	moduleValue = regexp.MustCompile(`^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*){2,}$`)

	placeholder = regexp.MustCompile(`(?i)^(?:x{3,}|\*+|\.{3,}|<.*>|\{\{?.*\}?\}|\$\{?.*|%.*%|\[.*\]|!ref.*|arn:.*|/.*|[#@_%]{1,3}\{?[a-z0-9_. -]+\}?[#@_%]{1,3}|(?:your|my|the|some|insert|enter|put|add|replace|change|dummy|sample|placeholder|redacted|todo|tbd|none|null|undefined|test|example|fake|mock|default|secret|passwd|password|pass|token|value|key|here|me|true|false|yes|no|on|off|please|with|real|api|a|an|in|dev|debug|development|local|localhost|postgres|mysql|mongo|redis|root|admin|user|username|dbuser|db|not|set|empty|[-_ .!0-9])+)$`)
	words       = regexp.MustCompile(`[A-Za-z]+|[0-9]+`)
	mixedWord   = regexp.MustCompile(`[A-Za-z][0-9]+[A-Za-z]|[0-9]{5,}|[0-9][A-Za-z]+[0-9]`)
	fakeRun     = regexp.MustCompile(`(?i)x{4,}|\*{3,}|0{8,}|123456789|abcdefghij|example|your[-_]?`)
)

var (
	// fillerWords are words of values that somebody is to replace.
	fillerWords = []string{"your", "yours", "change", "changeme", "changethis", "changeit", "replace", "replaceme", "replacewith", "insert", "enter", "placeholder", "example", "sample", "dummy", "fake", "todo", "tbd", "fixme", "redacted", "removed", "hidden", "not", "unused", "unset"}
	// storeWords and fromWords together say that the value comes from elsewhere.
	fromWords  = []string{"from", "set", "stored", "see", "via", "managed", "configured", "provided", "use", "defined", "injected", "loaded", "in"}
	storeWords = []string{"secret", "secrets", "secretsmanager", "manager", "console", "ssm", "vault", "env", "environment", "dashboard", "apprunner", "aws", "parameter", "parameters", "store"}
)

// isPlaceholder reports whether a value is one that somebody is to replace, or that
// names where the real one is.
func isPlaceholder(value string) bool {
	const longest = 200
	if len(value) > longest {
		return strings.HasPrefix(value, "<") || strings.HasPrefix(value, "$") || strings.HasPrefix(value, "{{") || strings.HasPrefix(value, "arn:")
	}
	if placeholder.MatchString(value) || strings.Contains(value, "EXAMPLE") {
		return true
	}
	if mixedWord.MatchString(value) {
		return false
	}
	filler, from, store := false, false, false
	for _, w := range words.FindAllString(value, 30) {
		const longestWord = 20
		if len(w) > longestWord {
			return false
		}
		w = strings.ToLower(w)
		filler = filler || slices.Contains(fillerWords, w)
		from = from || slices.Contains(fromWords, w)
		store = store || slices.Contains(storeWords, w)
	}
	return filler || from && store
}

// fakeToken reports whether a text in the form of a token is an example of one.
func fakeToken(token string) bool {
	const leastEntropy = 2.5
	if strings.HasPrefix(token, "-----BEGIN") {
		return strings.Contains(token, "EXAMPLE")
	}
	return fakeRun.MatchString(token) || entropy(token) < leastEntropy || isPlaceholder(token)
}

// isModule reports whether a value is a dotted path of names, as of a class.
func isModule(value string) bool {
	return moduleValue.MatchString(value) && !mixedWord.MatchString(value)
}

// looksSecret reports whether the value of a name looks like a live credential.
func looksSecret(name, value string) bool {
	key := keyWord.MatchString(name)
	if !secretWord.MatchString(name) && !key || notSecret.MatchString(name) || isPlaceholder(value) {
		return false
	}
	if strings.Contains(value, "://") || strings.ContainsAny(value, "\n") && len(value) > 4096 {
		return false // a URL's password is found by itself
	}
	if strings.HasPrefix(value, "$") || strings.HasPrefix(value, "`") || fileValue.MatchString(value) {
		return false
	}
	if passwordish.MatchString(name) {
		return len(value) >= 4 && !isModule(value)
	}
	if isModule(value) || fakeRun.MatchString(value) {
		return false
	}
	if key && !secretWord.MatchString(name) {
		return randomValue.MatchString(value) && letterInside.MatchString(value) && digitInside.MatchString(value) && entropy(value) >= 3
	}
	return len(value) >= 8 && (entropy(value) >= 3 || len(value) >= 12 && strings.ContainsAny(value, "0123456789") && entropy(value) >= 2.5)
}
