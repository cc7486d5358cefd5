package main

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/openslipway/slipway/internal/cli/client"
)

// serveECR answers ECR's calls from f.stored.
func (f *fakeServer) serveECR(w http.ResponseWriter, operation string, body []byte) {
	var in struct {
		Repository string           `json:"repositoryName"`
		IDs        []client.ImageID `json:"imageIds"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		f.fail(w, "SerializationException", err.Error())
		return
	}
	type record map[string]any
	out := record{}
	switch operation {
	case "DescribeRepositories":
		names := []string{}
		for _, s := range f.stored {
			names = append(names, s.Repository)
		}
		slices.Sort(names)
		list := []record{}
		for _, n := range slices.Compact(names) {
			list = append(list, record{"repositoryName": n})
		}
		out["repositories"] = list
	case "DescribeImages":
		list := []record{}
		for _, s := range f.stored {
			if s.Repository == in.Repository {
				list = append(list, record{"imageDigest": s.Digest, "imageTags": s.Tags, "imageSizeInBytes": s.Size, "imagePushedAt": s.PushedAt.Unix()})
			}
		}
		out["imageDetails"] = list
	case "BatchDeleteImage":
		f.calls = append(f.calls, operation+" "+canonical(body))
		out["imageIds"], out["failures"] = in.IDs, []record{}
	default:
		f.fail(w, "UnknownOperationException", "")
		return
	}
	_ = json.NewEncoder(w).Encode(out) // a client that has gone fails its own test
}

// serveSecrets answers calls of Secrets Manager and Parameter Store from f.secrets.
func (f *fakeServer) serveSecrets(w http.ResponseWriter, operation string, body []byte) {
	var in struct{ Name string }
	var id struct{ SecretId string }
	if json.Unmarshal(body, &in) != nil || json.Unmarshal(body, &id) != nil {
		f.fail(w, "SerializationException", "")
		return
	}
	out := map[string]any{}
	switch {
	case operation == "DescribeSecret" && slices.Contains(f.secrets, id.SecretId):
		out["ARN"], out["Name"] = "arn:aws:secretsmanager:us-east-1:000000000000:secret:"+id.SecretId+"-AbCdEf", id.SecretId
	case operation == "DescribeSecret":
		f.fail(w, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
		return
	case operation == "GetParameter" && slices.Contains(f.secrets, in.Name):
	case operation == "GetParameter":
		f.fail(w, "ParameterNotFound", "")
		return
	case operation == "ListSecrets":
		list := []map[string]any{}
		for _, s := range f.secrets {
			list = append(list, map[string]any{"Name": s})
		}
		out["SecretList"] = list
	}
	_ = json.NewEncoder(w).Encode(out) // a client that has gone fails its own test
}
