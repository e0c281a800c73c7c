package web

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
)

// readable is the contrast that text needs (WCAG 2.2 success criterion 1.4.3).
const readable = 4.5

// The grounds that style.css puts text on, by theme, and the text that reads
// best on a bright and on a dark accent.
var (
	lightSurface = colour{0xff, 0xff, 0xff}
	darkSurface  = colour{0x1b, 0x1e, 0x21}
	white        = colour{0xff, 0xff, 0xff}
	black        = colour{0x0b, 0x0d, 0x0e}
)

// colour is red, green and blue in sRGB.
type colour [3]uint8

var hexColour = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

func parseColour(s string) (colour, error) {
	if !hexColour.MatchString(s) {
		return colour{}, fmt.Errorf("%q: a colour is written #RRGGBB", s)
	}
	n, err := strconv.ParseUint(s[1:], 16, 32)
	return colour{uint8(n >> 16), uint8(n >> 8), uint8(n)}, err
}

func (c colour) String() string { return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2]) }

// luminance is WCAG's relative luminance.
func (c colour) luminance() float64 {
	linear := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// contrast is WCAG's contrast ratio, from 1 to 21.
func contrast(a, b colour) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// towards mixes a share of another colour in.
func (c colour) towards(other colour, share float64) colour {
	var mixed colour
	for i := range c {
		mixed[i] = uint8(math.Round(float64(c[i])*(1-share) + float64(other[i])*share))
	}
	return mixed
}

// on returns the text colour that reads better on c.
func (c colour) on() colour {
	if contrast(c, white) >= contrast(c, black) {
		return white
	}
	return black
}

// until goes from c towards another colour only as far as it must to be
// readable on all grounds.
func (c colour) until(other colour, grounds ...colour) colour {
	for share := 0.0; share < 1; share += 0.02 {
		mixed, good := c.towards(other, share), true
		for _, ground := range grounds {
			good = good && contrast(mixed, ground) >= readable
		}
		if good {
			return mixed
		}
	}
	return other
}

// accents are the style rules for the operator's colours: empty for none. A
// dark accent that is not given is made from the other.
func accents(light, dark string) (css []byte, err error) {
	if light == "" && dark == "" {
		return nil, nil
	}
	var onLight, onDark colour
	if light != "" {
		if onLight, err = accent("accent", light, lightSurface); err != nil {
			return nil, err
		}
	}
	switch {
	case dark != "":
		if onDark, err = accent("accent_dark", dark, darkSurface); err != nil {
			return nil, err
		}
		if light == "" {
			onLight = onDark.until(black, lightSurface)
		}
	default:
		onDark = onLight.until(white, darkSurface)
	}
	lightRules, darkRules := rules(onLight, lightSurface, black), rules(onDark, darkSurface, white)
	return fmt.Appendf(nil, ":root { %s }\n@media (prefers-color-scheme: dark) { :root:not([data-theme=\"light\"]) { %s } }\n:root[data-theme=\"dark\"] { %s }\n",
		lightRules, darkRules, darkRules), nil
}

func accent(setting, value string, ground colour) (colour, error) {
	c, err := parseColour(value)
	if err != nil {
		return c, &Fault{setting, err}
	}
	if ratio := contrast(c, ground); ratio < readable {
		return c, &Fault{setting, fmt.Errorf("%s: as text on %s it has a contrast of %.2f:1, and %.1f:1 is needed to read it", value, ground, math.Floor(ratio*100)/100, readable)}
	}
	return c, nil
}

// rules are the custom properties of one theme. further is where colours go to
// become more readable in it.
func rules(accent, surface, further colour) string {
	hover := accent.towards(further, 0.2)
	text := accent.on()
	tint := surface.towards(accent, 0.12)
	return fmt.Sprintf("--accent: %s; --accent-hover: %s; --on-accent: %s; --tint: %s; --on-tint: %s;",
		accent, hover, text.until(text, accent, hover), tint, accent.until(further, tint))
}
