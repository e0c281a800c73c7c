package users

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"

	"idp/internal/idp"
)

const (
	// MaxPicture bounds what people upload, in bytes.
	MaxPicture = 1 << 20
	// pictureSide is how many pixels a picture has each way at most once it is
	// stored.
	pictureSide = 256
	// maxPixels bounds what is decoded: a small file may stand for many, and
	// each takes up to 16 bytes of memory meanwhile.
	maxPixels = 10_000_000
	// maxScans bounds how often a progressive JPEG goes over all of its pixels.
	maxScans = 64
)

// OwnPicture keeps the pictures that people upload. Implemented by
// *store.Store.
type OwnPicture interface {
	// SetPicture replaces the picture from before; nil takes it away.
	SetPicture(ctx context.Context, userID string, picture *idp.Picture, event idp.Event) error
	Picture(ctx context.Context, id idp.ID) (idp.Picture, error)
}

// SetPicture makes an uploaded file, PNG or JPEG, the picture of a person. What
// is stored is a small square that was painted anew, so that nothing of the
// file but its middle remains: no place where it was taken, no name of a
// camera. Of what cannot be used it is *idp.InvalidError. One picture is
// decoded at a time.
func (s *Self) SetPicture(ctx context.Context, user idp.User, from idp.Whereabouts, file []byte) error {
	select {
	case s.painting <- struct{}{}:
		defer func() { <-s.painting }()
	case <-ctx.Done():
		return fmt.Errorf("users: set a picture: %w", idp.ErrUnavailable)
	}
	picture, err := paint(file)
	if err != nil {
		return err
	}
	_, _ = rand.Read(picture.ID[:]) // never fails: crypto/rand
	return s.savePicture(ctx, user, from, &picture)
}

// RemovePicture takes away the picture that the person uploaded.
func (s *Self) RemovePicture(ctx context.Context, user idp.User, from idp.Whereabouts) error {
	if user.PictureID.IsZero() {
		return nil
	}
	return s.savePicture(ctx, user, from, nil)
}

func (s *Self) savePicture(ctx context.Context, user idp.User, from idp.Whereabouts, picture *idp.Picture) error {
	event := s.event(s.now(), idp.EventUserUpdated, user.ID, from)
	event.Detail["fields"] = "picture"
	if err := s.store.SetPicture(ctx, user.ID, picture, event); err != nil {
		return fmt.Errorf("users: set a picture: %w", err)
	}
	return nil
}

var errNoPicture = idp.Invalid("picture", "must be a PNG or JPEG picture")

// paint makes the stored picture of a file.
func paint(file []byte) (idp.Picture, error) {
	if len(file) > MaxPicture {
		return idp.Picture{}, idp.Invalid("picture", "is larger than 1 MiB")
	}
	header, format, err := image.DecodeConfig(bytes.NewReader(file))
	switch {
	case err != nil || format != "png" && format != "jpeg" || header.Width < 1 || header.Height < 1,
		format == "jpeg" && bytes.Count(file, []byte{0xff, 0xda}) > maxScans:
		return idp.Picture{}, errNoPicture
	case header.Width > maxPixels/header.Height:
		return idp.Picture{}, idp.Invalid("picture", fmt.Sprintf("has more than %d million pixels", maxPixels/1_000_000))
	}
	source, _, err := image.Decode(bytes.NewReader(file))
	if err != nil {
		return idp.Picture{}, errNoPicture
	}
	small := turned(square(source), orientation(file))
	var body bytes.Buffer
	if !small.Opaque() {
		err = png.Encode(&body, small)
		return idp.Picture{ContentType: "image/png", Body: body.Bytes()}, err
	}
	err = jpeg.Encode(&body, small, &jpeg.Options{Quality: 88})
	return idp.Picture{ContentType: "image/jpeg", Body: body.Bytes()}, err
}

// square is the middle of a picture, made smaller where it is larger than
// pictureSide: each pixel is the mean of those that it stands for.
func square(source image.Image) *image.NRGBA {
	b := source.Bounds()
	side := min(b.Dx(), b.Dy())
	left, top := b.Min.X+(b.Dx()-side)/2, b.Min.Y+(b.Dy()-side)/2
	size := min(side, pictureSide)
	small := image.NewNRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			var red, green, blue, alpha, count uint64
			for sy := top + y*side/size; sy < top+(y+1)*side/size; sy++ {
				for sx := left + x*side/size; sx < left+(x+1)*side/size; sx++ {
					r, g, b, a := source.At(sx, sy).RGBA()
					red, green, blue, alpha, count = red+uint64(r), green+uint64(g), blue+uint64(b), alpha+uint64(a), count+1
				}
			}
			small.Set(x, y, color.RGBA64{R: uint16(red / count), G: uint16(green / count), B: uint16(blue / count), A: uint16(alpha / count)})
		}
	}
	return small
}

// turned undoes how the camera was held, one of the eight orientations of Exif.
func turned(p *image.NRGBA, orientation uint16) *image.NRGBA {
	if orientation < 2 || orientation > 8 {
		return p
	}
	last := p.Bounds().Dx() - 1
	out := image.NewNRGBA(p.Bounds())
	for y := range last + 1 {
		for x := range last + 1 {
			sx, sy := x, y
			if orientation >= 5 {
				sx, sy = y, x
			}
			switch orientation {
			case 2, 8:
				sx = last - sx
			case 3, 7:
				sx, sy = last-sx, last-sy
			case 4, 6:
				sy = last - sy
			}
			out.SetNRGBA(x, y, p.NRGBAAt(sx, sy))
		}
	}
	return out
}

// orientation reads tag 0x0112 of the first directory of a JPEG's Exif segment;
// 0 for none.
func orientation(file []byte) uint16 {
	if !bytes.HasPrefix(file, []byte{0xff, 0xd8}) {
		return 0
	}
	for rest := file[2:]; len(rest) >= 4 && rest[0] == 0xff; {
		size := int(binary.BigEndian.Uint16(rest[2:]))
		if size < 2 || len(rest) < 2+size || rest[1] == 0xda {
			return 0
		}
		exif, ok := bytes.CutPrefix(rest[4:2+size], []byte("Exif\x00\x00"))
		if rest[1] == 0xe1 && ok {
			return exifOrientation(exif)
		}
		rest = rest[2+size:]
	}
	return 0
}

func exifOrientation(tiff []byte) uint16 {
	if len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.BigEndian
	if string(tiff[:2]) == "II" {
		order = binary.LittleEndian
	}
	start := order.Uint32(tiff[4:])
	if uint64(start)+2 > uint64(len(tiff)) {
		return 0
	}
	directory := tiff[start:]
	for entry := directory[2:]; len(entry) >= 12; entry = entry[12:] {
		if order.Uint16(entry) == 0x0112 {
			return order.Uint16(entry[8:])
		}
	}
	return 0
}

// exportPicture adds the picture that the person uploaded.
func (s *Self) exportPicture(ctx context.Context, user idp.User, e *Export) error {
	if user.PictureID.IsZero() {
		return nil
	}
	picture, err := s.store.Picture(ctx, user.PictureID)
	if errors.Is(err, idp.ErrNotFound) {
		return nil // replaced a moment ago
	}
	e.Account.Picture = &ExportedPicture{ContentType: picture.ContentType, Body: picture.Body}
	return err
}
