package web

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
