package harness

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// ServiceSecrets is a server with a secret and a parameter that a service refers to.
type ServiceSecrets struct {
	*Server
	Secrets    *secretsmanager.Client
	parameters *ssm.Client
	ARN        string
}

func NewServiceSecrets(s *Server) *ServiceSecrets {
	s.T.Helper()
	k := &ServiceSecrets{Server: s, Secrets: secretsmanager.NewFromConfig(s.SDK()), parameters: ssm.NewFromConfig(s.SDK())}
	out, err := k.Secrets.CreateSecret(s.T.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("secretive/greeting")})
	if err != nil {
		s.T.Fatal(err)
	}
	k.ARN = *out.ARN
	return k
}

// SecretValue returns a secret value with the word in it. It is long enough to be
// recognised in files and logs.
func SecretValue(word string) string { return "secret-value-" + word }

// Put sets the value of both the secret and the parameter.
func (k *ServiceSecrets) Put(word string) {
	k.T.Helper()
	ctx := k.T.Context()
	_, err := k.Secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: &k.ARN, SecretString: aws.String(fmt.Sprintf(`{"greeting":%q}`, SecretValue(word))),
	})
	if err != nil {
		k.T.Fatal(err)
	}
	_, err = k.parameters.PutParameter(ctx, &ssm.PutParameterInput{
		Name: aws.String("/secretive/token"), Value: aws.String(SecretValue(word)), Type: ssmtypes.ParameterTypeSecureString, Overwrite: aws.Bool(true),
	})
	if err != nil {
		k.T.Fatal(err)
	}
}
