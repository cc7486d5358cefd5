// Package cloudwatch implements the read operations of CloudWatch Logs over the
// log groups that App Runner writes: a service's events and deployments, from the
// store, and the output of its instances, from an [Output]. `aws logs tail` and
// scripts written for App Runner work with it.
//
// It stores and writes no lines. The gateway calls its handlers.
package cloudwatch
