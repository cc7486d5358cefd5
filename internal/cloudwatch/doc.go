// Package cloudwatch answers the part of CloudWatch Logs that reads, over the
// log groups that App Runner would have written: what services did, from the
// store, and what their instances wrote, from an [Output]. `aws logs tail` and
// scripts made for App Runner find their lines here.
//
// It keeps no lines and writes none; internal/gateway calls its handlers.
package cloudwatch
