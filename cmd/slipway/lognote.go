package main

import (
	"regexp"
	"strings"
)

// exitEvent is App Runner's event about the end of an instance, with what the fleet adds.
var exitEvent = regexp.MustCompile(`^Your application stopped or failed to start\. See logs for more information\. (.*) \(instance ([0-9a-f]{8})[0-9a-f]*, after ([0-9.]+ s)\)\.(.*)$`)

// notes are what the log of a service's instances tells of its events.
var notes = []struct{ event, note string }{
	{"Service creation completed successfully", "the service is created; its first version serves"},
	{"Service creation failed", "the creation failed"},
	{"Service update started", "an update began"},
	{"Service update completed successfully", "the update is done; its version serves"},
	{"Service update failed", "the update failed"},
	{"Deployment started", "a deployment began"},
	{"Deployment completed successfully", "the deployment is done; its version serves"},
	{"Deployment failed", "the deployment failed"},
	{"Service pause started", "a pause began"},
	{"Service pause completed successfully", "the service is paused"},
	{"Service pause failed", "the pause failed"},
	{"Service resume started", "a resume began"},
	{"Service resume completed successfully", "the service is resumed"},
	{"Service resume failed", "the resume failed"},
	{"Service deletion started", "the deletion began"},
	{"Service deletion completed successfully", "the service is deleted"},
	{"Service deletion failed", "the deletion failed"},
}

// note returns what the log of a service's instances tells of an event; "" for nothing.
func note(event string) string {
	text, _ := strings.CutPrefix(event, "[AppRunner] ")
	if m := exitEvent.FindStringSubmatch(text); m != nil {
		how := strings.Replace(m[1], "Container exit code: ", "exited after "+m[3]+" with code ", 1)
		how = strings.Replace(how, "Reason: ", "ended after "+m[3]+": ", 1)
		return "instance " + m[2] + " " + how + strings.TrimSuffix(strings.Replace(m[4], " Another one is started in ", "; another one is started in ", 1), ".")
	}
	if strings.HasPrefix(text, "Instance ") { // failed its health check
		return strings.TrimSuffix(text, ".")
	}
	for _, n := range notes {
		if strings.HasPrefix(text, n.event) {
			return n.note
		}
	}
	return ""
}
