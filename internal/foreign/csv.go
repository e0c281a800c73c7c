package foreign

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"idp/internal/declared"
	"idp/internal/idp"
)

// csvColumns are the columns that are no claims.
var csvColumns = []string{"username", "sub", "password_hash", "disabled", "groups", "roles"}

// attributeColumn begins the columns of attributes.
const attributeColumn = "attributes."

// csv reads a table of people: a line of names, and a line for each person. The
// names are those of the standard claims, and a few more.
func (h Here) csv(t *text) ([]declared.Object, error) {
	reader := csv.NewReader(bytes.NewReader(t.raw))
	names, err := reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: is empty", t.at(0))
	} else if err != nil {
		return nil, csvFault(t, err)
	}
	claims := profileKinds()
	for i, name := range names {
		_, claim := claims[name]
		switch {
		case !claim && !slices.Contains(csvColumns, name) && !strings.HasPrefix(name, attributeColumn):
			return nil, fmt.Errorf("%s: is no column that is known: %s", t.at(0), shown(name))
		case slices.Index(names, name) != i:
			return nil, fmt.Errorf("%s: the column %s is there twice", t.at(0), name)
		}
	}
	if !slices.Contains(names, "username") {
		return nil, fmt.Errorf("%s: the column username is missing", t.at(0))
	}
	var objects []declared.Object
	for {
		cells, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, csvFault(t, err)
		}
		line, _ := reader.FieldPos(0)
		o := declared.Object{Kind: declared.KindUser, Where: fmt.Sprintf("%s:%d", t.file, line)}
		profile := map[string]any{}
		for i, name := range names {
			if cell := strings.TrimSpace(cells[i]); cell != "" {
				h.cell(&o, name, cell, claims[name], profile)
			}
		}
		raw, err := json.Marshal(profile)
		if err == nil {
			err = json.Unmarshal(raw, &o.User.Profile)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: cannot be read", o.Where)
		}
		o.Name = o.User.Username
		if o.User.PasswordHash == "" {
			note(&o, "has no password: idp user link hands over a link to set one")
		}
		objects = append(objects, o)
	}
}

func csvFault(t *text, err error) error {
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
		return fmt.Errorf("%s:%d: is not CSV: %w", t.file, wrong.Line, wrong.Err)
	}
	return err
}

// cell reads one cell that is not empty.
func (h Here) cell(o *declared.Object, name, cell string, claim reflect.Kind, profile map[string]any) {
	u := &o.User
	truth := func() bool {
		if cell != "true" && cell != "false" {
			o.Faults = append(o.Faults, declared.Fault{Where: o.Where, Field: name, Reason: "must be true or false"})
		}
		return cell == "true"
	}
	switch name {
	case "username":
		u.Username = cell
	case "sub":
		u.ID = cell
	case "password_hash":
		u.PasswordHash = idp.Secret(cell)
	case "disabled":
		u.Disabled = truth()
	case "groups":
		u.Groups = strings.Fields(cell)
	case "roles":
		u.Roles = strings.Fields(cell)
	default:
		attribute, ok := strings.CutPrefix(name, attributeColumn)
		switch {
		case ok:
			h.keepAttribute(o, attribute, []string{cell})
		case claim == reflect.Bool:
			profile[name] = truth()
		default:
			profile[name] = cell
		}
	}
}

// profileKinds are the standard claims that are one text, or true or false.
func profileKinds() map[string]reflect.Kind {
	kinds := map[string]reflect.Kind{}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[idp.Profile]()) {
		if kind := field.Type.Kind(); kind == reflect.String || kind == reflect.Bool {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			kinds[name] = kind
		}
	}
	return kinds
}
