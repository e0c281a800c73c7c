package main

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"idp/internal/idp"
)

// set parses text into the key's field.
func (l *loader) set(key, text, where string) {
	l.origin[key], l.written[key] = where, text
	if err := l.parse(key, text); err != nil {
		l.faultAt(key, err.Error())
	}
}

func (l *loader) parse(key, text string) error {
	f := l.fields[key]
	switch target := f.value.Addr().Interface().(type) {
	case *string:
		if words := f.tag.Get("oneof"); words != "" && !slices.Contains(strings.Fields(words), text) {
			return errors.New(l.allowed(key))
		}
		if text == "" {
			return errors.New(l.allowed(key))
		}
		*target = text
	case *idp.Secret:
		*target = idp.Secret(text)
	case *DatabaseURL:
		*target = DatabaseURL(text)
	case *int:
		n, err := strconv.Atoi(text)
		lowest, _ := strconv.Atoi(f.tag.Get("min"))
		highest, _ := strconv.Atoi(f.tag.Get("max"))
		if err != nil || n < lowest || n > highest {
			return errors.New(l.allowed(key))
		}
		*target = n
	case *bool:
		if text != "true" && text != "false" {
			return errors.New(l.allowed(key))
		}
		*target = text == "true"
	case *Duration:
		d, err := parseDuration(text)
		if err != nil {
			return err
		}
		if lowest, highest := durationBounds(f.tag); d < lowest || d > highest {
			return errors.New(l.allowed(key))
		}
		*target = d
	case *[]netip.Prefix:
		*target = nil
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item == "" {
				continue
			}
			prefix, err := parseNetwork(item)
			if err != nil {
				return err
			}
			*target = append(*target, prefix)
		}
	default:
		panic("config: no parser for the type of " + key)
	}
	return nil
}

const longest = Duration(20 * 365 * day)

func durationBounds(tag reflect.StructTag) (lowest, highest Duration) {
	highest = longest
	if text := tag.Get("min"); text != "" {
		lowest, _ = parseDuration(text)
	}
	if text := tag.Get("max"); text != "" {
		highest, _ = parseDuration(text)
	}
	return lowest, highest
}

// allowed says what a key's value may be.
func (l *loader) allowed(key string) string {
	f := l.fields[key]
	if words := strings.Fields(f.tag.Get("oneof")); len(words) > 0 {
		return "must be " + strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	}
	switch f.value.Interface().(type) {
	case int:
		return "must be a whole number from " + f.tag.Get("min") + " to " + f.tag.Get("max")
	case bool:
		return "must be true or false"
	case Duration:
		lowest, highest := durationBounds(f.tag)
		switch {
		case highest != longest:
			return "must be a duration from " + lowest.String() + " to " + highest.String()
		case lowest > 0:
			return "must be a duration of " + lowest.String() + " or more, such as 90s, 10m, 12h or 30d"
		}
		return errDuration.Error()
	}
	return "must be " + f.tag.Get("allowed")
}
