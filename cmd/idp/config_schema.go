package main

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"idp/docs"
)

func (a *app) configSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print a JSON Schema of the configuration file",
		Long:  "Prints a JSON Schema (2020-12) of the YAML file, for editors that complete keys and underline mistakes. What depends on several keys is checked by idp config check alone.",
		Args:  exactly(),
		RunE:  func(*cobra.Command, []string) error { return writeJSON(a.Stdout, newLoader().schema()) },
	}
}

// schema describes the file: every key with what it means and may be.
func (l *loader) schema() map[string]any {
	root := map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Configuration of idp",
		"type": "object", "additionalProperties": false,
		"properties": map[string]any{"bootstrap": map[string]any{
			"type": []string{"object", "null"}, "description": "Objects that are made at the start where there are none of their names; as idp apply reads them.",
		}},
	}
	said := docs.Settings()
	for _, key := range l.order {
		parent, path := root, strings.Split(key, ".")
		for _, section := range path[:len(path)-1] {
			members := parent["properties"].(map[string]any)
			if members[section] == nil {
				members[section] = map[string]any{"type": []string{"object", "null"}, "additionalProperties": false, "properties": map[string]any{}}
			}
			parent = members[section].(map[string]any)
		}
		parent["properties"].(map[string]any)[path[len(path)-1]] = l.keySchema(key, said[key])
	}
	return root
}

func (l *loader) keySchema(key, said string) map[string]any {
	f := l.fields[key]
	schema := map[string]any{"type": "string"}
	if text := strings.TrimSpace(said + " (" + strings.TrimPrefix(l.allowed(key), "must be ") + ")"); text != "()" {
		schema["description"] = text
	}
	switch v := f.value.Interface().(type) {
	case int:
		schema["type"], schema["default"] = "integer", v
		for word, tag := range map[string]string{"minimum": "min", "maximum": "max"} {
			if n, err := strconv.Atoi(f.tag.Get(tag)); err == nil {
				schema[word] = n
			}
		}
	case bool:
		schema["type"], schema["default"] = "boolean", v
	case []netip.Prefix:
		schema["type"], schema["items"] = []string{"array", "string"}, map[string]any{"type": "string"}
	case Duration:
		schema["default"] = v.String()
	case string:
		if words := strings.Fields(f.tag.Get("oneof")); len(words) > 0 {
			schema["enum"] = words
		}
		if v != "" {
			schema["default"] = v
		}
	}
	return schema
}
