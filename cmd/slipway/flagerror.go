package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError returns the error of a wrong flag in our words.
func flagError(cmd *cobra.Command, err error) error {
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := e.GetSpecifiedName()
		if e.GetSpecifiedShortnames() != "" {
			return usageError(cmd, "there is no flag -%s%s", name, meantFlag(cmd, name))
		}
		return usageError(cmd, "there is no flag --%s%s", name, meantFlag(cmd, name))
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		what, _ := pflag.UnquoteUsage(e.GetFlag())
		return usageError(cmd, "--%s needs a value: --%[1]s %s", e.GetFlag().Name, strings.ToUpper(what))
	}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return usageError(cmd, "%s", badValue("--"+e.GetFlag().Name, e.GetFlag(), e.GetValue(), e.Unwrap()))
	}
	if e, ok := errors.AsType[*pflag.InvalidSyntaxError](err); ok {
		return usageError(cmd, "%q is no flag; a flag is --name or --name=value", e.GetSpecifiedFlag())
	}
	return usageError(cmd, "%v", err)
}

// badValue says what is wrong with the value of a flag, which the user gave under this
// name, and what is allowed.
func badValue(name string, flag *pflag.Flag, value string, cause error) string {
	text := fmt.Sprintf("%s is %q; it must be ", name, value)
	large := errors.Is(cause, strconv.ErrRange)
	switch kind := flag.Value.Type(); {
	case strings.HasPrefix(kind, "int") && strings.HasSuffix(kind, "Slice"):
		return text + "whole numbers with commas between them"
	case strings.HasPrefix(kind, "int") && large:
		return text + "smaller"
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return text + "a whole number"
	case kind == "bool":
		return text + "true or false"
	case kind == "duration":
		return text + "a time with its unit, such as 90s, 5m or 168h"
	case kind == "stringSlice":
		return text + "a list with commas between its entries"
	case flag.Name == "log-level":
		return text + "debug, info, warn or error"
	}
	return fmt.Sprintf("%s is %q: %v", name, value, cause) // of a Value of ours
}
