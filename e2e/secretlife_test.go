package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// TestSecrets leads a service with secrets through deployments, a pause, the
// death of its instances and of the server, and rotations of the master key. Its
// instances always have the values of their deployment, which are nowhere on
// disk nor in what the server says.
func TestSecrets(t *testing.T) {
	t.Parallel()
	s := serve(t)
	k := newKeeper(s)
	k.put("first")
	svc := s.runningService("secretive", spec{
		image: s.push(web(t, "1"), "secretive:latest"), scaling: s.size("secretive", 50, 2, 2), health: quick(),
		secrets: map[string]string{"GREETING": k.arn + ":greeting::", "TOKEN": "/secretive/token"},
	})
	k.serves(svc, "first")
	k.assertReferencesAlone(svc)

	// A new value waits for the next deployment, whatever dies meanwhile.
	k.put("second")
	k.killInstance()
	k.serves(svc, "first")
	s.kill()
	k.killInstance()
	s.start()
	k.serves(svc, "first")
	k.deploy(svc, types.OperationStatusSucceeded)
	k.serves(svc, "second")

	k.put("third")
	pause, err := s.client().PauseService(t.Context(), &apprunner.PauseServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(svc, *pause.OperationId)
	resume, err := s.client().ResumeService(t.Context(), &apprunner.ResumeServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		t.Fatal(err)
	}
	s.succeeds(svc, *resume.OperationId)
	k.serves(svc, "third")

	k.rotateUnderKills()
	k.killInstance()
	k.serves(svc, "third")

	if _, err := k.secrets.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: &k.arn, ForceDeleteWithoutRecovery: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	k.deploy(svc, types.OperationStatusRollbackSucceeded)
	k.serves(svc, "third")
	out, err := s.slipway("logs", "--events", "secretive")
	if want := "The secret for environment variable GREETING could not be read from " + k.arn; err != nil || !strings.Contains(out, want) {
		t.Errorf("the events do not tell %q: %v\n%s", want, err, out)
	}
	k.assertNowhere("first", "second", "third")
}

// serves waits until two instances answer, and fails when one has other values.
func (k *keeper) serves(svc *types.Service, word string) {
	k.t.Helper()
	k.spread(svc, 2, secretOf(word))
	code, body, err := k.request(svc, "/env?name=TOKEN")
	if err != nil || code != http.StatusOK || body != secretOf(word) {
		k.t.Errorf("TOKEN is %q (%d, %v), want %q", body, code, err, secretOf(word))
	}
}

// killInstance kills the process of one instance, which is replaced.
func (k *keeper) killInstance() {
	k.t.Helper()
	all := k.instanceProcesses("app")
	if len(all) == 0 {
		k.t.Fatal("no instance runs")
	}
	victim, err := os.FindProcess(all[0].pid)
	if err == nil {
		err = victim.Kill()
	}
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *keeper) deploy(svc *types.Service, want types.OperationStatus) {
	k.t.Helper()
	out, err := k.client().StartDeployment(k.t.Context(), &apprunner.StartDeploymentInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		k.t.Fatal(err)
	}
	if got := k.ended(svc, *out.OperationId); got != want {
		k.t.Fatalf("the deployment ended %s, want %s\n%s", got, want, k.history(svc))
	}
}

// assertReferencesAlone checks that descriptions show references, and that no
// process but the applications' has the values in its environment or arguments.
func (k *keeper) assertReferencesAlone(svc *types.Service) {
	k.t.Helper()
	out, err := k.client().DescribeService(k.t.Context(), &apprunner.DescribeServiceInput{ServiceArn: svc.ServiceArn})
	if err != nil {
		k.t.Fatal(err)
	}
	if got := out.Service.SourceConfiguration.ImageRepository.ImageConfiguration.RuntimeEnvironmentSecrets["GREETING"]; got != k.arn+":greeting::" {
		k.t.Errorf("GREETING is shown as %q", got)
	}
	if b, err := json.Marshal(out.Service); err != nil || bytes.Contains(b, []byte("secret-value-")) {
		k.t.Errorf("the description holds a value: %v", err)
	}
	apps, others := 0, append(inCgroup(slice(k.dir)), k.PID)
	for _, pid := range others {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		for _, file := range []string{"environ", "cmdline"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
			if err != nil || !bytes.Contains(b, []byte("secret-value-")) {
				continue
			}
			if filepath.Base(exe) == "app" && file == "environ" {
				apps++
				continue
			}
			k.t.Errorf("process %d (%s) has a value in its %s", pid, exe, file)
		}
	}
	if apps != 2 {
		k.t.Errorf("%d applications have the values in their environment, want 2: others would not be found either", apps)
	}
}

// rotateUnderKills rotates the master key again and again while the server is
// killed; afterwards it starts and knows every secret.
func (k *keeper) rotateUnderKills() {
	k.t.Helper()
	before := k.masterKey()
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	k.t.Logf("seed %d", seed)
	for range 8 {
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			for range 3 {
				if _, err := k.slipway("key", "rotate"); err != nil {
					return // the server is dead
				}
			}
		}()
		select {
		case <-asked:
		case <-time.After(time.Duration(random.IntN(300)) * time.Millisecond):
		}
		k.kill()
		<-asked
		k.start()
	}
	if _, err := k.slipway("key", "rotate"); err != nil {
		k.t.Fatal(err)
	}
	if after := k.masterKey(); after == before {
		k.t.Error("the master key was not rotated")
	}
	b, err := os.ReadFile(filepath.Join(k.dir, "master.key"))
	if n := bytes.Count(b, []byte("\nAGE-SECRET-KEY-1")); err != nil || n != 1 {
		k.t.Errorf("the key file holds %d keys: %v", n, err)
	}
	out, err := k.secrets.GetSecretValue(k.t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &k.arn})
	if err != nil || !strings.Contains(*out.SecretString, secretOf("third")) {
		k.t.Errorf("the secret after the rotations: %v", err)
	}
}

func (k *keeper) masterKey() string {
	k.t.Helper()
	out, err := k.slipway("key", "show", "--json")
	var key struct{ PublicKey string }
	if err == nil {
		err = json.Unmarshal([]byte(out), &key)
	}
	if err != nil || key.PublicKey == "" {
		k.t.Fatalf("slipway key show: %v: %s", err, out)
	}
	return key.PublicKey
}
