package web

import (
	"maps"
	"slices"
)

// Contrast is the contrast of two colours as written in a style sheet.
func Contrast(a, b string) float64 {
	x, err := parseColour(a)
	if err != nil {
		panic(err)
	}
	y, err := parseColour(b)
	if err != nil {
		panic(err)
	}
	return contrast(x, y)
}

// PageKinds names the template of every page, and PageKind that of one.
func (p *Pages) PageKinds() []string {
	return slices.Sorted(maps.Keys(p.templates["en"]))
}

func PageKind(what any) string { return what.(page).template() }
