package admin

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	_ "image/jpeg" // formats that are decoded
	_ "image/png"

	"idp/internal/idp"
)

// MaxLogo bounds a client's picture, in bytes.
const MaxLogo = 256 << 10

// maxLogoSide bounds its width and height, in pixels.
const maxLogoSide = 1024

// LogoStore keeps the pictures of clients. Implemented by *store.Store.
type LogoStore interface {
	SetClientLogo(ctx context.Context, clientID string, logo *idp.ClientLogo, event idp.Event) error
}

// SetClientLogo gives the client a picture for the pages that people see: PNG,
// JPEG or WebP. An empty one takes it away.
func (s *Service) SetClientLogo(ctx context.Context, clientID string, picture []byte) (idp.Client, error) {
	c, err := s.Client(ctx, clientID)
	if err != nil {
		return idp.Client{}, err
	}
	var logo *idp.ClientLogo
	c.Logo = ""
	if len(picture) > 0 {
		contentType, reason := pictureType(picture)
		if reason != "" {
			return idp.Client{}, idp.Invalid("logo", reason)
		}
		logo = &idp.ClientLogo{ContentType: contentType, Body: picture}
		c.Logo = logo.Hash()
	}
	if err := s.store.SetClientLogo(ctx, clientID, logo, s.event(ctx, s.now(), idp.EventClientUpdated, clientID, "logo")); err != nil {
		return idp.Client{}, fmt.Errorf("admin: set the logo of client %q: %w", clientID, err)
	}
	return c, nil
}

// pictureType says what kind of picture this is, by what is in it, or why it is
// not taken. It is decoded to the end: what is served as a picture is one.
func pictureType(picture []byte) (contentType, reason string) {
	if len(picture) > MaxLogo {
		return "", fmt.Sprintf("is longer than %d KiB", MaxLogo>>10)
	}
	const unknown = "must be a PNG, JPEG or WebP picture"
	if width, height, ok := webpSize(picture); ok {
		return "image/webp", sideFault(width, height)
	}
	header, format, err := image.DecodeConfig(bytes.NewReader(picture))
	if err != nil {
		return "", unknown
	}
	if reason := sideFault(header.Width, header.Height); reason != "" {
		return "", reason
	}
	if _, _, err := image.Decode(bytes.NewReader(picture)); err != nil {
		return "", "is a broken " + format + " picture"
	}
	switch format {
	case "png", "jpeg":
		return "image/" + format, ""
	}
	return "", unknown
}

func sideFault(width, height int) string {
	if width < 1 || height < 1 || width > maxLogoSide || height > maxLogoSide {
		return fmt.Sprintf("must have 1 to %d pixels each way, not %d by %d", maxLogoSide, width, height)
	}
	return ""
}

// webpSize reads the size of a WebP picture (RFC 9649 section 2) whose chunks
// fill the file exactly and hold picture data.
func webpSize(b []byte) (width, height int, ok bool) {
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WEBP" || uint64(binary.LittleEndian.Uint32(b[4:]))+8 != uint64(len(b)) {
		return 0, 0, false
	}
	pixels := false
	for rest := b[12:]; len(rest) > 0; {
		if len(rest) < 8 {
			return 0, 0, false
		}
		kind, size := string(rest[:4]), uint64(binary.LittleEndian.Uint32(rest[4:]))
		padded := 8 + size + size&1
		if padded > uint64(len(rest)) {
			return 0, 0, false
		}
		data := rest[8 : 8+size]
		w, h := 0, 0
		switch {
		case kind == "VP8X" && size == 10:
			w, h = 1+(int(data[4])|int(data[5])<<8|int(data[6])<<16), 1+(int(data[7])|int(data[8])<<8|int(data[9])<<16)
		case kind == "VP8 " && size >= 10 && data[0]&1 == 0 && string(data[3:6]) == "\x9d\x01\x2a":
			w, h = int(binary.LittleEndian.Uint16(data[6:])&0x3fff), int(binary.LittleEndian.Uint16(data[8:])&0x3fff)
			pixels = true
		case kind == "VP8L" && size >= 5 && data[0] == 0x2f:
			bits := binary.LittleEndian.Uint32(data[1:])
			w, h = 1+int(bits&0x3fff), 1+int(bits>>14&0x3fff)
			pixels = true
		case kind == "ANMF":
			pixels = true
		}
		width, height = max(width, w), max(height, h)
		rest = rest[padded:]
	}
	return width, height, pixels
}
