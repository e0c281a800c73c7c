package users

// The passwords that are not to be had: a list of the operator's, and a service
// that knows what leaked elsewhere.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"idp/internal/idp"
)

// DeniedPasswords is a file of passwords that nobody may set: one in each line,
// or their SHA-1 or SHA-256 in hexadecimal, sorted, each perhaps with a colon
// and a number behind it, as lists of leaked passwords come. The file is opened
// for each look, so that it may be replaced at any time; hashes are searched
// without reading the whole.
type DeniedPasswords struct {
	path string
}

const (
	maxDeniedLine = 4096 // bytes
	sortProbes    = 64   // lines that are compared to see whether a file is sorted
)

var (
	errNotSorted    = errors.New("the hashes are not sorted: sort the file first")
	errLongLine     = fmt.Errorf("a line is longer than %d bytes", maxDeniedLine)
	errMixedDigests = errors.New("a line is not a hash like the first one")
)

// OpenDeniedPasswords returns the list in a file. What is wrong with the file is
// an error without its path.
func OpenDeniedPasswords(path string) (*DeniedPasswords, error) {
	d := &DeniedPasswords{path}
	file, size, digits, err := d.open()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if digits == 0 {
		return d, nil
	}
	last := ""
	for i := range int64(sortProbes) {
		line, err := lineAfter(file, size*i/sortProbes)
		if err != nil {
			return nil, err
		}
		if line == "" {
			continue
		}
		digest, ok := digestOf(line, digits)
		switch {
		case !ok:
			return nil, errMixedDigests
		case digest < last:
			return nil, errNotSorted
		}
		last = digest
	}
	return d, nil
}

// open returns the file, and of how many digits its hashes are: 0 for a file
// of passwords.
func (d *DeniedPasswords) open() (file *os.File, size int64, digits int, err error) {
	if file, err = os.Open(d.path); err != nil {
		return nil, 0, 0, reasonOnly(err)
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("is a directory")
	}
	var line string
	if err == nil {
		size = info.Size()
		line, err = lineAfter(file, 0)
	}
	if err != nil {
		file.Close()
		return nil, 0, 0, reasonOnly(err)
	}
	for _, n := range []int{2 * sha1.Size, 2 * sha256.Size} {
		if _, ok := digestOf(line, n); ok {
			digits = n
		}
	}
	return file, size, digits, nil
}

// reasonOnly leaves the path out: whoever configured it names it.
func reasonOnly(err error) error {
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		return failed.Err
	}
	return err
}

// Contains reports whether the password is on the list; in a list of passwords,
// whatever its case. A list that cannot be read is idp.ErrUnavailable: no
// password is set that was not looked for.
func (d *DeniedPasswords) Contains(password string) (bool, error) {
	found, err := d.contains(password)
	if err != nil {
		return false, fmt.Errorf("users: list of denied passwords: %w: %w", idp.ErrUnavailable, err)
	}
	return found, nil
}

func (d *DeniedPasswords) contains(password string) (bool, error) {
	file, size, digits, err := d.open()
	if err != nil {
		return false, err
	}
	defer file.Close()
	switch digits {
	case 2 * sha1.Size:
		sum := sha1.Sum([]byte(password))
		return searchDigests(file, size, hex.EncodeToString(sum[:]))
	case 2 * sha256.Size:
		sum := sha256.Sum256([]byte(password))
		return searchDigests(file, size, hex.EncodeToString(sum[:]))
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxDeniedLine)
	for lines.Scan() {
		if line := strings.TrimSuffix(lines.Text(), "\r"); line != "" && strings.EqualFold(line, password) {
			return true, nil
		}
	}
	return false, lines.Err()
}

// searchDigests halves the file until the line is found that the digest would
// be in.
func searchDigests(file io.ReaderAt, size int64, digest string) (bool, error) {
	low, high := int64(0), size // the line begins in [low, high)
	for low < high {
		middle := low + (high-low)/2
		line, err := lineAfter(file, middle)
		if err != nil {
			return false, err
		}
		if line == "" { // none begins from the middle on
			high = middle
			continue
		}
		found, ok := digestOf(line, len(digest))
		switch {
		case !ok:
			return false, errMixedDigests
		case found == digest:
			return true, nil
		case found < digest:
			low = middle + 1
		default:
			high = middle
		}
	}
	return false, nil
}

// lineAfter returns the first line that begins at the offset or after it; empty
// for none.
func lineAfter(file io.ReaderAt, offset int64) (string, error) {
	from := max(0, offset-1)
	buffer := make([]byte, 2*maxDeniedLine)
	n, err := file.ReadAt(buffer, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	rest, whole := buffer[:n], errors.Is(err, io.EOF)
	if offset > 0 {
		_, after, found := bytes.Cut(rest, []byte("\n"))
		switch {
		case found:
			rest = after
		case whole:
			return "", nil
		default:
			return "", errLongLine
		}
	}
	line, _, ended := bytes.Cut(rest, []byte("\n"))
	if !ended && !whole {
		return "", errLongLine
	}
	return string(bytes.TrimSuffix(line, []byte("\r"))), nil
}

// digestOf reads the hash that a line begins with, in lower case.
func digestOf(line string, digits int) (string, bool) {
	digest, _, _ := strings.Cut(line, ":")
	digest = strings.ToLower(strings.TrimSpace(digest))
	if _, err := hex.DecodeString(digest); err != nil || len(digest) != digits {
		return "", false
	}
	return digest, true
}

// Breaches asks a service which passwords leaked: Range returns all that have a
// SHA-1 with these five digits, without them, one in each line with a colon and
// how often it was seen. So the service never learns the password. An error is
// nobody's fault who sets one.
type Breaches interface {
	Range(ctx context.Context, prefix string) ([]byte, error)
}

// breached reports whether the service knows the password. One that is away,
// which it logs itself, knows none.
func breached(ctx context.Context, service Breaches, password string) bool {
	sum := sha1.Sum([]byte(password))
	digest := strings.ToUpper(hex.EncodeToString(sum[:]))
	answer, err := service.Range(ctx, digest[:5])
	if err != nil {
		return false
	}
	for line := range strings.SplitSeq(string(answer), "\n") {
		rest, count, _ := strings.Cut(strings.TrimSpace(line), ":")
		// What is there to make all answers alike long was seen no times.
		if strings.EqualFold(rest, digest[5:]) && strings.TrimLeft(count, "0") != "" {
			return true
		}
	}
	return false
}
