package config_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/source/config"
)

// The forms of credentials by their maker: a is any letter or digit, h a hexadecimal
// digit, d a digit, A a capital letter or digit; the number says how many. What is made
// of them is random, so that this file holds nothing that looks like one.
var tokenForms = []string{
	"sk-|proj-|a48", "sk-|ant-api03-|a90", "gsk|_|a52", "hf|_|a34", "r8|_|a37", "pplx|-|a48", "xai|-|a80", "tvly|-|a32", "pcsk|_|a60",
	"lsv2|_pt_|h32|_|h10", "re|_|a8|_|a24", "xkeysib|-|h64|-|a16", "key|-|h32", "d10|:AA|a33", "https://discord.com/api/webhooks/|d18|/|a68",
	"MTE|a23|.|a6|.|a38", "EAA|a150", "shpat|_|h32", "sq0csp|-|a43", "APP_USR|-|d16|-|d6|-|h32", "ya29|.|a100", "AAAA|a7|:APA91b|a134",
	"dop|_v1_|h64", "HRKU|-|a60", "fo1|_|a43", "pscale|_pw_|a43", "sbp|_|h40", "sb|_secret_|a31", "hvs|.|a90", "dp.pt.|a43", "dapi|h32",
	"lin|_api_|a40", "ntn|_|a46", "pat-na1-|h8|-|h4|-|h4|-|h4|-|h12", "NRAK|-|A27", "PMAK|-|h24|-|h34", "glsa|_|a32|_|h8", "figd|_|a40",
	"CFPAT|-|a43", "rubygems|_|h48", "ATBB|a32", "AKIA|A16", "glpat|-|a20", "ghp|_|a36", "SG|.|a22|.|a43", "sk_live|_|a24", "whsec|_|a32",
	"GOCSPX|-|a28", "AIza|a35", "npm|_|a36", "dckr_pat|_|a27", "SK|h32", "base64:|a43|=", "AccountName=shop;AccountKey=|a86|==;",
	"redis://default:|a32|@redis.example.net:6379", "cloudinary://|d15|:|a27|@shop", "https://|h32|:|h32|@errors.example.net/12",
}

// secretNames are names whose values count by themselves.
var secretNames = []string{
	"AWS_SECRET_ACCESS_KEY", "TWILIO_AUTH_TOKEN", "SECRET_KEY_BASE", "JWT_SIGNING_KEY", "COOKIE_SECRET", "RAZORPAY_KEY_SECRET",
	"AZURE_OPENAI_KEY", "RAPIDAPI_KEY", "WEATHER_KEY", "PGPASSWORD", "DB_PASS", "ADMIN_PW", "dbPassword", "ConnectionStrings__Secret",
}

func made(form string, random *rand.Rand) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567abcdefghijklmnopqrstuvwxyz0189"
	var b strings.Builder
	for part := range strings.SplitSeq(form, "|") {
		n, err := strconv.Atoi(part[1:])
		from, ok := map[byte]string{'a': alphabet, 'h': "0123456789abcdef", 'd': "0123456789", 'A': alphabet[:32]}[part[0]]
		if err != nil || !ok {
			b.WriteString(part)
			continue
		}
		for range n {
			b.WriteByte(from[random.IntN(len(from))])
		}
	}
	return b.String()
}

func withVariable(name, value string) []byte {
	return fmt.Appendf(nil, "%s  env:\n    - name: %s\n      value: %q\n", minimal, name, value)
}

// credentialFound reports whether a file has a finding about a credential. No finding
// may hold the value.
func credentialFound(t *testing.T, data []byte, value string) bool {
	t.Helper()
	_, findings := config.Parse(config.FileName, data)
	found := false
	for _, f := range findings {
		found = found || f.Code == config.CodeCredential
		if strings.Contains(f.Message, value) {
			t.Errorf("a finding prints the value: [%s]", f.Code)
		}
	}
	return found
}

// TestCredentialsOfMakers finds a credential by its form, whatever the variable is
// called, and by its name when it has no form.
func TestCredentialsOfMakers(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(8, 7))
	for _, form := range tokenForms {
		value := made(form, random)
		if !credentialFound(t, withVariable("SETTING", value), value) {
			t.Errorf("not found: %s", form)
		}
		if in := []byte("# " + value + "\n" + minimal); !credentialFound(t, in, value) {
			t.Errorf("not found in a comment: %s", form)
		}
	}
	for _, name := range secretNames {
		value := made("a32", random)
		if !credentialFound(t, withVariable(name, value), value) {
			t.Errorf("not found: a random value of %s", name)
		}
	}
}

// TestNoCredential has values that somebody is to replace, that name where the secret
// is, or that only have a name like one.
func TestNoCredential(t *testing.T) {
	t.Parallel()
	for _, line := range strings.Split(strings.TrimSpace(`
API_KEY your-api-key-here
API_KEY YOUR_SHOP_API_KEY
API_KEY sk-your-openai-api-key-here
API_KEY sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
API_KEY sk_live_xxxxxxxxxxxxxxxxxxxxxxxx
API_KEY ghp_XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX
API_KEY AKIAXXXXXXXXXXXXXXXX
API_KEY sk-1234567890abcdef1234567890abcdef
API_KEY {{API_KEY}}
API_KEY ${API_KEY}
API_KEY <your-key>
SECRET_ACCESS_KEY wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
DB_PASSWORD change-me-in-production
DB_PASSWORD REPLACE_WITH_DB_PASSWORD
DB_PASSWORD your-secure-password-here
DB_PASSWORD from-secrets-manager
DB_PASSWORD from-secrets
DB_PASSWORD set-in-console
DB_PASSWORD stored-in-ssm
DB_PASSWORD #{DB_PASSWORD}#
DB_PASSWORD __DB_PASSWORD__
DB_PASSWORD %DB_PASSWORD%
JWT_SECRET your-super-secret-jwt-key-change-this-in-production-2024
JWT_SECRET insert-your-jwt-secret-here
SECRET_KEY dev-secret-key-not-for-production
SECRET_KEY build-time-placeholder
DATABASE_URL postgresql://user:pass@localhost:5432/db
DATABASE_URL redis://:your-redis-password@cache:6379/1
DATABASE_URL postgresql://<user>:<password>@<host>/<db>
DATABASE_URL postgres://shop:$DB_PASSWORD@host/db
OPENAI_MAX_TOKENS 1024-per-request
PASSWORD_HASHER django.contrib.auth.hashers.PBKDF2PasswordHasher
GOOGLE_APPLICATION_CREDENTIALS service-account-key.json
PASS_THROUGH_HEADERS x-request-id,x-trace-id
S3_KEY_PREFIX uploads/production/2024/images
CACHE_KEY 0123456789abcdef0123456789abcdef
STRIPE_PUBLISHABLE_KEY pk_live_51Hx8Kf2eZvKYlo2Cq9dT4mN7
SENTRY_DSN https://4f1c2d3e4b5a69788796a5b4c3d2e1f0@errors.example.net/12
IMAGE_DIGEST sha256:4f1c2d3e4b5a69788796a5b4c3d2e1f04f1c2d3e4b5a69788796a5b4c3d2e1f0
`), "\n") {
		name, value, _ := strings.Cut(line, " ")
		if credentialFound(t, withVariable(name, value), value+"!") {
			t.Errorf("taken for a credential: %s", line)
		}
	}
}

// TestCredentialsInEndlessLines looks into one line as long as a file may be, in which
// every value is another name and value.
func TestCredentialsInEndlessLines(t *testing.T) {
	t.Parallel()
	// It takes a fraction of a second of processor time; without a limit of the nesting
	// it took minutes. A thread's own time does not depend on what else runs.
	const limit = 20 * time.Second
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	spent := func() time.Duration {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
			panic(err)
		}
		return time.Duration(t.Nano())
	}
	for _, part := range []string{"token=", "a_secret_key: AbCd0123456789efgh=a_token: ", "sk-", "your-", "API_KEY: ", "a1"} {
		text := strings.Repeat(part, config.MaxSize/len(part))
		start := spent()
		config.Parse(config.FileName, []byte(text))
		if took := spent() - start; took > limit {
			t.Errorf("%q takes %v", part, took)
		}
	}
}

func withCommand(command string) []byte {
	return fmt.Appendf(nil, "version: 1.0\nruntime: nodejs22\nbuild:\n  commands:\n    build:\n      - %q\nrun:\n  command: node server.js\n", command)
}

// TestCredentialsInCommands finds what programs are given as a password or a token.
func TestCredentialsInCommands(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, command := range []string{
		"export NPM_TOKEN=@", "echo //registry.npmjs.org/:_authToken=@ > .npmrc", "curl -u admin:@ https://files.example.com/a.tgz",
		"git clone https://deploy:@@git.example.com/shop.git", "curl -H 'Authorization: Bearer @' https://files.example.com",
		"java -Dspring.datasource.password=@ -jar app.jar", "shop --password @", "shop --api-key @", "shop --db-password=@",
		"mysql -uroot -p@ shop < schema.sql", "DB_PASSWORD=@ npm run migrate", "docker login -u me -p @", "redis-cli -a @ ping",
		"aws configure set aws_secret_access_key @", "echo SECRET_KEY=@ >> .env",
	} {
		value := made("a24", random)
		if !credentialFound(t, withCommand(strings.Replace(command, "@", value, 1)), value) {
			t.Errorf("not found: %s", command)
		}
	}
	for _, command := range []string{
		"shop --password $DB_PASSWORD", "npm run build -- --token-file /run/secrets/token", "curl -H 'Authorization: Bearer $TOKEN' https://x",
		"git clone https://git.example.com/shop.git", "docker login -u me --password-stdin", "docker build --secret id=npmrc,src=.npmrc .",
		"curl -u $USER:$PASS https://files.example.com", "export JWT_SECRET=$(openssl rand -base64 32)", "yarn workspace @shop/tokens build",
		"node scripts/password-reset.js", "mysql -uroot -p shop < schema.sql", "python3 manage.py createsuperuser --noinput --username admin",
		"npm config set registry https://registry.npmjs.org/", "openssl rand -hex 32", "shop --token your-token-here", "java -Dpassword.file=/run/x -jar app.jar",
	} {
		if credentialFound(t, withCommand(command), "!") {
			t.Errorf("taken for a credential: %s", command)
		}
	}
}
