package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/openslipway/slipway"
)

// validationRecords returns the CNAMEs that prove a domain to be its
// associator's, in the form of ACM's: one for the domain, one for a random name
// below it (App Runner's own use of the certificate), one for www where that is
// meant.
//
// They follow from the installation's seed and the names alone, so that who
// associates a domain anew need not change DNS; a wildcard has those of its
// root. That they can be worked out by who knows the seed is no matter: it takes
// the domain's DNS to publish them.
func validationRecords(seed string, d slipway.CustomDomain) []slipway.ValidationRecord {
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

// hexDigits returns 32 lower-case hexadecimal digits that follow from seed and
// text.
func hexDigits(seed, text string) string { return hex.EncodeToString(digest(seed, text)[:16]) }

// letters returns n lower-case letters, at most 32, that follow from seed and
// text.
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
