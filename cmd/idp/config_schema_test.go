package main

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// The schema accepts the file that idp init writes, with every key set to its
// default, and refuses what idp config check refuses of a single key.
func TestConfigSchema(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, writeJSON(&out, newLoader().schema()))
	document, err := jsonschema.UnmarshalJSON(&out)
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("config.json", document))
	schema, err := compiler.Compile("config.json")
	require.NoError(t, err)

	file, err := commentedConfig(nil)
	require.NoError(t, err)
	every := regexp.MustCompile(`(?m)^( *)#([a-z_]+:)`).ReplaceAllString(string(file), "$1$2")
	// A list or an enumeration that is empty by default cannot be written.
	every = regexp.MustCompile(`(?m)^ *[a-z_]+: ""$`).ReplaceAllString(every, "")
	judge := func(text string) error {
		var v any
		require.NoError(t, yaml.Unmarshal([]byte(text), &v))
		return schema.Validate(v)
	}
	require.NoError(t, judge(every))
	require.NoError(t, judge("issuer: https://id.example.com\nlifetimes:\n  access_token: 5m\n"))
	for _, wrong := range []string{"isuer: https://id.example.com", "lifetimes:\n  acces_token: 5m", "passwords:\n  memory_kib: 1", "passwords:\n  memory_kib: lots", "log:\n  format: xml"} {
		require.Error(t, judge(wrong), wrong)
	}
}
