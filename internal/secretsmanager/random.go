package secretsmanager

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/openslipway/slipway/internal/gateway"
)

const (
	usualPassword = 32
	maxPassword   = 4096
)

func (m *Manager) getRandomPassword(_ context.Context, _ *gateway.Call, in *sdk.GetRandomPasswordInput) (*sdk.GetRandomPasswordOutput, error) {
	length := int64(usualPassword)
	if in.PasswordLength != nil {
		length = *in.PasswordLength
	}
	each := in.RequireEachIncludedType == nil || *in.RequireEachIncludedType
	sets, err := characters(in)
	if err != nil {
		return nil, err
	}
	if length < 1 || length > maxPassword || each && length < int64(len(sets)) {
		return nil, invalidParameter(fmt.Sprintf("PasswordLength is %d; it must be from %d to %d.", length, len(sets), maxPassword))
	}
	b, all := make([]byte, length), strings.Join(sets, "")
	for i := range b {
		set := all
		if each && i < len(sets) {
			set = sets[i]
		}
		b[i] = set[random(len(set))]
	}
	for i := len(b) - 1; i > 0; i-- { // shuffle, so that the required ones are not the first
		j := random(i + 1)
		b[i], b[j] = b[j], b[i]
	}
	return &sdk.GetRandomPasswordOutput{RandomPassword: aws.String(string(b))}, nil
}

// characters returns the sets of characters that a password is made of.
func characters(in *sdk.GetRandomPasswordInput) ([]string, error) {
	var sets []string
	for _, c := range []struct {
		left *bool
		set  string
	}{
		{in.ExcludeLowercase, "abcdefghijklmnopqrstuvwxyz"},
		{in.ExcludeUppercase, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
		{in.ExcludeNumbers, "0123456789"},
		{in.ExcludePunctuation, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"},
		{aws.Bool(!aws.ToBool(in.IncludeSpace)), " "},
	} {
		set := strings.Map(func(r rune) rune {
			if strings.ContainsRune(aws.ToString(in.ExcludeCharacters), r) {
				return -1
			}
			return r
		}, c.set)
		if !aws.ToBool(c.left) && set != "" {
			sets = append(sets, set)
		}
	}
	if len(sets) == 0 {
		return nil, invalidParameter("There are no characters left to make a password of.")
	}
	return sets, nil
}

func random(n int) int {
	v, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil { // crypto/rand aborts the process instead
		panic(err)
	}
	return int(v.Int64())
}
