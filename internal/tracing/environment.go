package tracing

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The variables of the OpenTelemetry specification that decide whether there
// are traces. The library reads them and all others by itself; what is wrong
// with them it only mentions, in part with the values, so it is said here.
const (
	envDisabled   = "OTEL_SDK_DISABLED"
	envExporter   = "OTEL_TRACES_EXPORTER"
	envSampler    = "OTEL_TRACES_SAMPLER"
	envSamplerArg = "OTEL_TRACES_SAMPLER_ARG"
)

// ofTraces are the names of a variable, the more special one first: it counts.
func ofTraces(name string) []string {
	return []string{"OTEL_EXPORTER_OTLP_TRACES_" + name, "OTEL_EXPORTER_OTLP_" + name}
}

// wanted reports whether the environment asks for traces. Faults name the
// variable, and not the value where that may hold a secret.
func wanted(getenv func(string) string) (bool, error) {
	get := func(name string) string { return strings.TrimSpace(getenv(name)) }
	if strings.EqualFold(get(envDisabled), "true") {
		return false, nil
	}
	switch exporter := get(envExporter); exporter {
	case "", "otlp":
	case "none":
		return false, nil
	default:
		return false, fmt.Errorf("%s: %q: allowed is otlp or none", envExporter, exporter)
	}
	endpoint := ""
	for _, name := range slices.Backward(ofTraces("ENDPOINT")) {
		if value := get(name); value != "" {
			endpoint = name
			if err := checkEndpoint(value); err != nil {
				return false, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if endpoint == "" {
		return false, nil
	}
	for _, name := range ofTraces("PROTOCOL") {
		if protocol := get(name); protocol != "" && protocol != "http/protobuf" && protocol != "http/json" {
			return false, fmt.Errorf("%s: %q: allowed is http/protobuf or http/json; receivers listen for it on port 4318", name, protocol)
		}
	}
	for _, name := range ofTraces("HEADERS") {
		if err := checkHeaders(get(name)); err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
	}
	return true, checkSampler(strings.ToLower(get(envSampler)), get(envSamplerArg))
}

func checkEndpoint(value string) error {
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be an http or https URL without user, query and fragment, such as http://localhost:4318")
	}
	return nil
}

func checkHeaders(value string) error {
	if value == "" {
		return nil
	}
	for i, pair := range strings.Split(value, ",") {
		name, text, found := strings.Cut(pair, "=")
		_, malformed := url.PathUnescape(strings.TrimSpace(text))
		if !found || strings.TrimSpace(name) == "" || malformed != nil {
			return fmt.Errorf("entry %d: must be NAME=VALUE with VALUE percent-encoded, and entries separated by commas", i+1)
		}
	}
	return nil
}

func checkSampler(sampler, argument string) error {
	switch sampler {
	case "", "always_on", "always_off", "parentbased_always_on", "parentbased_always_off":
		return nil
	case "traceidratio", "parentbased_traceidratio":
		if ratio, err := strconv.ParseFloat(argument, 64); argument != "" && (err != nil || !(0 <= ratio && ratio <= 1)) {
			return fmt.Errorf("%s: %q: must be a number from 0 to 1", envSamplerArg, argument)
		}
		return nil
	}
	return fmt.Errorf("%s: %q: allowed is always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio", envSampler, sampler)
}
