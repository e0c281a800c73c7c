package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"idp/internal/idp"
	"idp/internal/server"
)

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration that serve would run with",
		Long:  "Reads file, environment and flags as idp serve does, and names every fault with the place it comes from. Nothing is started, and no database is asked.",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			src := a.sources(cmd)
			src.NeedIssuer = true
			cfg, err := loadConfig(src)
			if err != nil {
				return err
			}
			if _, err := cfg.Bootstrap.read(); err != nil {
				return err
			}
			key, err := configuredMasterKey(cfg)
			if err != nil {
				return err
			}
			if key == nil && !cfg.Embedded() {
				return withCode(exitConfiguration, errNoMasterKey)
			}
			if cfg.TLSCert != "" {
				if _, err := server.LoadCertificate(cfg.TLSCert, cfg.TLSKey); err != nil {
					return withCode(exitConfiguration, err)
				}
			}
			fmt.Fprintln(a.Stdout, "The configuration is good.")
			return nil
		},
	}
	var form string
	show := &cobra.Command{
		Use:   "print",
		Short: "Print the configuration, with where each value comes from",
		Long:  "Prints every key with its value and, behind it, where the value comes from. Secrets are left out.",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := load(a.sources(cmd))
			if err != nil {
				return err
			}
			if form != "json" {
				return encodeYAML(a.Stdout, l.asNode())
			}
			document, err := l.document()
			if err != nil {
				return err
			}
			return writeJSON(a.Stdout, document)
		},
	}
	show.Flags().StringVarP(&form, "output", "o", "yaml", "how to print: yaml or json")
	show.PreRunE = func(*cobra.Command, []string) error {
		if form != "yaml" && form != "json" {
			return usage("-o %s: must be yaml or json", form)
		}
		return nil
	}
	return noun("config", "Check and print the configuration", check, show, a.configSchemaCommand())
}

// asNode renders the configuration as YAML with the place that each value came
// from; secrets are left out.
func (l *loader) asNode() *yaml.Node {
	root := &yaml.Node{Kind: yaml.MappingNode}
	sections := map[string]*yaml.Node{"": root}
	for _, key := range l.order {
		path := strings.Split(key, ".")
		name := path[len(path)-1]
		for i := 1; i < len(path); i++ {
			inner := strings.Join(path[:i], ".")
			if sections[inner] == nil {
				sections[inner] = &yaml.Node{Kind: yaml.MappingNode}
				outer := sections[strings.Join(path[:i-1], ".")]
				outer.Content = append(outer.Content, scalar(path[i-1]), sections[inner])
			}
		}
		parent := sections[strings.Join(path[:len(path)-1], ".")]
		value := l.valueNode(key)
		value.LineComment = "default"
		if origin := l.origin[key]; origin != "" {
			value.LineComment = origin
		}
		parent.Content = append(parent.Content, scalar(name), value)
	}
	return root
}

// document is the configuration as JSON has it; secrets are left out.
func (l *loader) document() (map[string]any, error) {
	var text bytes.Buffer
	if err := encodeYAML(&text, l.asNode()); err != nil {
		return nil, err
	}
	var document map[string]any
	err := yaml.Unmarshal(text.Bytes(), &document)
	return document, err
}

func (l *loader) valueNode(key string) *yaml.Node {
	var node yaml.Node
	switch v := l.fields[key].value.Interface().(type) {
	case idp.Secret:
		if v == "" {
			node.SetString("")
			return &node
		}
		node.SetString(v.String())
	case DatabaseURL:
		node.SetString(v.String())
	case Duration:
		node.SetString(v.String())
	case int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(v)}
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}
	case []netip.Prefix:
		list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, prefix := range v {
			list.Content = append(list.Content, scalar(prefix.String()))
		}
		return list
	case string:
		node.SetString(v)
	}
	return &node
}

func scalar(text string) *yaml.Node {
	var node yaml.Node
	node.SetString(text)
	return &node
}
