package main

import (
	"reflect"
	"slices"
	"strings"

	"idp/internal/console"
)

// loaded is the configuration with its keys, wherever its values came from.
func (c *Config) loaded() *loader {
	l := &loader{config: c, fields: map[string]field{}}
	l.collect(reflect.ValueOf(c).Elem(), "")
	return l
}

// settings shows administrators what is configured, by key. Secrets are left
// out.
func (c *Config) settings() func(key string) console.Setting {
	here := c.loaded()
	defaults := newLoader()
	return func(key string) console.Setting {
		if !slices.Contains(here.order, key) {
			panic("idp: there is no setting " + key)
		}
		value := func(l *loader) string {
			node := l.valueNode(key)
			if len(node.Content) == 0 {
				return node.Value
			}
			var all []string
			for _, one := range node.Content {
				all = append(all, one.Value)
			}
			return strings.Join(all, " ")
		}
		return console.Setting{Key: key, Variable: variable(key), Value: value(here), Default: value(here) == value(defaults)}
	}
}
