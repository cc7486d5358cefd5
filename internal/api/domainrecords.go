package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/openslipway/slipway"
)

// validationRecords returns the CNAMEs that prove control of a domain, in ACM's
// form: one for the domain, one for a random name below it (App Runner's own use
// of the certificate), and one for www if www is included.
//
// They are a function of the installation's seed, the service and the names, so a domain
// that is associated with its service again keeps its records; a wildcard has those of its
// root domain. Each service has others: records prove its claim and no other's, also when
// they stay in DNS after the service is gone. Knowing the seed is not enough for an
// attacker: publishing the records takes control of the domain's DNS.
func validationRecords(seed string, d slipway.CustomDomain) []slipway.ValidationRecord {
	seed += " " + d.ServiceID
	base := strings.TrimPrefix(strings.ToLower(d.Name), "*.")
	hosts := []string{base, "2a57j7" + letters(seed, "below "+base, 24) + "." + base}
	if d.WWW {
		hosts = append(hosts, "www."+base)
	}
	records := make([]slipway.ValidationRecord, 0, len(hosts))
	for _, h := range hosts {
		records = append(records, slipway.ValidationRecord{
			Name:   "_" + hexDigits(seed, "name "+h) + "." + h + ".",
			Value:  "_" + hexDigits(seed, "value "+h) + "." + letters(seed, "zone "+h, 10) + ".acm-validations.aws.",
			Status: slipway.RecordPending,
		})
	}
	return records
}

// hexDigits returns 32 lower-case hexadecimal digits derived from seed and text.
func hexDigits(seed, text string) string { return hex.EncodeToString(digest(seed, text)[:16]) }

// letters returns n lower-case letters, at most 32, derived from seed and text.
func letters(seed, text string, n int) string {
	b := digest(seed, text)[:n]
	for i := range b {
		b[i] = 'a' + b[i]%26
	}
	return string(b)
}

func digest(seed, text string) []byte {
	h := hmac.New(sha256.New, []byte(seed))
	h.Write([]byte(text))
	return h.Sum(nil)
}
