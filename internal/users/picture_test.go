package users

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
)

// quarters is a picture whose quarters are red, green, blue and white, in the
// order of reading.
func quarters(width, height int) *image.NRGBA {
	p := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := color.NRGBA{R: 255, A: 255}
			switch {
			case x >= width/2 && y >= height/2:
				c = color.NRGBA{R: 255, G: 255, B: 255, A: 255}
			case y >= height/2:
				c = color.NRGBA{B: 255, A: 255}
			case x >= width/2:
				c = color.NRGBA{G: 255, A: 255}
			}
			p.SetNRGBA(x, y, c)
		}
	}
	return p
}

// corners names the colours of a picture's quarters, in the order of reading.
func corners(t *testing.T, p image.Image) string {
	t.Helper()
	size := p.Bounds().Dx()
	require.Equal(t, size, p.Bounds().Dy(), "a square")
	names := ""
	for _, at := range []image.Point{{size / 4, size / 4}, {3 * size / 4, size / 4}, {size / 4, 3 * size / 4}, {3 * size / 4, 3 * size / 4}} {
		r, g, b, _ := p.At(at.X, at.Y).RGBA()
		switch bright := func(v uint32) bool { return v > 0x8000 }; {
		case bright(r) && bright(g) && bright(b):
			names += "w"
		case bright(r):
			names += "r"
		case bright(g):
			names += "g"
		case bright(b):
			names += "b"
		}
	}
	return names
}

func encoded(t *testing.T, p image.Image, format string) []byte {
	t.Helper()
	var out bytes.Buffer
	if format == "png" {
		require.NoError(t, png.Encode(&out, p))
	} else {
		require.NoError(t, jpeg.Encode(&out, p, nil))
	}
	return out.Bytes()
}

// withExif puts an orientation and a place into a JPEG.
func withExif(file []byte, orientation uint16, order binary.AppendByteOrder) []byte {
	mark := "MM"
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		mark = "II"
	}
	tiff := order.AppendUint32(order.AppendUint16([]byte(mark), 42), 8)
	tiff = order.AppendUint16(tiff, 1)
	tiff = order.AppendUint32(order.AppendUint16(order.AppendUint16(tiff, 0x0112), 3), 1)
	tiff = order.AppendUint16(order.AppendUint16(tiff, orientation), 0)
	payload := append([]byte("Exif\x00\x00"), append(tiff, "taken at home"...)...)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(payload)+2))
	return bytes.Join([][]byte{file[:2], segment, payload, file[2:]}, nil)
}

// What is stored is small, square, upright, and holds nothing else of the file.
func TestPaint(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file []byte
		kind string
		size int
		want string
	}{
		"large":   {encoded(t, quarters(600, 600), "png"), "image/jpeg", 256, "rgbw"},
		"wide":    {encoded(t, quarters(900, 300), "jpeg"), "image/jpeg", 256, "rgbw"},
		"small":   {encoded(t, quarters(40, 60), "png"), "image/jpeg", 40, "rgbw"},
		"one":     {encoded(t, quarters(1, 1), "png"), "image/jpeg", 1, "wwww"},
		"turned":  {withExif(encoded(t, quarters(64, 64), "jpeg"), 6, binary.BigEndian), "image/jpeg", 64, "brwg"},
		"turned2": {withExif(encoded(t, quarters(64, 64), "jpeg"), 8, binary.LittleEndian), "image/jpeg", 64, "gwrb"},
		"upside":  {withExif(encoded(t, quarters(64, 64), "jpeg"), 3, binary.LittleEndian), "image/jpeg", 64, "wbgr"},
		"mirror":  {withExif(encoded(t, quarters(64, 64), "jpeg"), 2, binary.LittleEndian), "image/jpeg", 64, "grwb"},
	} {
		p, err := paint(c.file)
		require.NoError(t, err, name)
		require.Equal(t, c.kind, p.ContentType, name)
		require.NotContains(t, string(p.Body), "taken at home", name)
		require.NotContains(t, string(p.Body), "Exif", name)
		shown, _, err := image.Decode(bytes.NewReader(p.Body))
		require.NoError(t, err, name)
		require.Equal(t, c.size, shown.Bounds().Dx(), name)
		require.Equal(t, c.want, corners(t, shown), name)
	}
	glass := quarters(300, 300)
	glass.SetNRGBA(10, 10, color.NRGBA{})
	p, err := paint(encoded(t, glass, "png"))
	require.NoError(t, err)
	require.Equal(t, "image/png", p.ContentType)
}

// What is no picture, or would take too much to look at, is refused by its
// header.
func TestPaint_Refused(t *testing.T) {
	t.Parallel()
	good := encoded(t, quarters(64, 64), "png")
	bomb := encoded(t, quarters(8, 8), "png")
	binary.BigEndian.PutUint32(bomb[16:], 100_000)
	binary.BigEndian.PutUint32(bomb[20:], 100_000)
	scans := append(encoded(t, quarters(64, 64), "jpeg"), bytes.Repeat([]byte{0xff, 0xda}, maxScans)...)
	for name, file := range map[string][]byte{
		"empty": nil, "text": []byte("GIF89a"), "svg": []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`),
		"bomb": bomb, "cut off": good[:len(good)/2], "long": append(good, make([]byte, MaxPicture)...), "scans": scans,
		"webp": []byte("RIFF\x00\x00\x00\x00WEBPVP8 "),
	} {
		_, err := paint(file)
		var invalid *idp.InvalidError
		require.ErrorAs(t, err, &invalid, name)
	}
}

func FuzzOrientation(f *testing.F) {
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x10Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08"))
	f.Fuzz(func(_ *testing.T, file []byte) { orientation(file) })
}
