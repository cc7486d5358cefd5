package config

import (
	"bytes"
	"encoding/json"
)

// schemaObject is a JSON object.
type schemaObject = map[string]any

// Schema returns the JSON Schema of the file (draft 7, which editors know), ending in
// a line break. It says what a schema can: keys, types and names of runtimes, those
// beyond App Runner included. Parse knows more.
func Schema() []byte {
	var names []string
	for _, r := range Runtimes() {
		names = append(names, r.Name)
	}
	variables := func(field, description string) schemaObject {
		return schemaList(schemaMapping("One variable.", []string{"name", field}, schemaObject{
			"name": schemaObject{"type": "string", "minLength": 1, "pattern": "^[^=]+$", "description": "Name of the variable. PORT is set by the service itself."},
			field:  variableSchema(field),
		}), description)
	}
	commands := func(description string) schemaObject {
		return schemaObject{"type": []string{"array", "null"}, "description": description, "items": schemaObject{"type": []string{"string", "boolean", "number"}, "minLength": 1}}
	}
	root := schemaMapping("Configuration of a service that is built from source code, as AWS App Runner and Slipway read it.",
		[]string{"version", "runtime", "build", "run"}, schemaObject{
			"version": schemaObject{"description": "Version of the format: 1.0.", "enum": []any{1.0, "1.0", "1"}},
			"runtime": schemaObject{"type": "string", "description": "The managed runtime. App Runner has those up to ruby31.", "enum": names},
			"build": schemaMapping("How the service is built.", []string{"commands"}, schemaObject{
				"commands": schemaMapping("Commands of the build, by phase. Each has a shell of its own.", []string{"build"}, schemaObject{
					"pre-build":  commands("Commands before build."),
					"build":      commands("Commands that build the service. With original builds they run again in the image that is deployed."),
					"post-build": commands("Commands after build; their files are not deployed."),
				}),
				"env": variables("value", "Variables of the build's commands and of pre-run, not of the running application."),
			}),
			"run": schemaMapping("How the service runs.", []string{"command"}, schemaObject{
				"runtime-version": schemaObject{"type": []string{"string", "number"}, "description": "Version to lock, in quotes: \"3.11.14\". Without it the newest is used."},
				"pre-run":         commands("Commands in the image that runs, for what lies outside /app. Only runtimes with a revised build."),
				"command":         schemaObject{"type": "string", "minLength": 1, "description": "The command that starts the service."},
				"network": schemaMapping("Where the application listens.", nil, schemaObject{
					"port": schemaObject{"description": "TCP port, 8080 unless given. The variable PORT holds it.", "anyOf": []any{
						schemaObject{"type": "integer", "minimum": 1, "maximum": 65535}, schemaObject{"type": "string", "pattern": "^[1-9][0-9]{0,4}$"},
					}},
					"env": schemaObject{"type": "string", "description": "A second variable that holds the port, beside PORT.", "not": schemaObject{"const": "PORT"}},
				}),
				"env":     variables("value", "Variables of the running application, not of the build."),
				"secrets": variables("value-from", "Variables of the running application whose values are secrets."),
			}),
		})
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["title"] = FileName
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		panic(err) // only strings and numbers are in it
	}
	return b.Bytes()
}

func schemaMapping(description string, required []string, properties schemaObject) schemaObject {
	o := schemaObject{"type": "object", "description": description, "additionalProperties": false, "properties": properties}
	if required != nil {
		o["required"] = required
	}
	return o
}

func schemaList(items schemaObject, description string) schemaObject {
	return schemaObject{"type": []string{"array", "null"}, "description": description, "items": items}
}

func variableSchema(field string) schemaObject {
	if field == "value-from" {
		return schemaObject{"type": "string", "minLength": 1, "description": "ARN of a secret in Secrets Manager, or name or ARN of a parameter in Parameter Store; never the secret itself."}
	}
	return schemaObject{"type": []string{"string", "number", "boolean"}, "description": "Value of the variable. Put numbers with a meaningful last 0 in quotes."}
}
