package adminapi

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Lists are cut into pages. A page token holds the last name of the page
// before, sealed: it is good for the same list, filter and caller only.
const (
	maxPageSize  = 250
	pagePurpose  = "pages"
	maxPageToken = 2 << 10 // characters
)

// page is which part of a list is asked for.
type page struct {
	size   int
	after  string // the last name of the page before; empty at the beginning
	filter url.Values
	bound  []byte // what its tokens are for
}

// page reads which part of the list is asked for, with the filters that the
// list has. Anything else in the query is refused.
func (c *call) page(list string, filters ...string) (page, error) {
	query, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return page{}, invalid("the query cannot be read")
	}
	p := page{size: maxPageSize, filter: url.Values{}}
	for name, values := range query {
		switch {
		case len(values) > 1:
			return page{}, invalidMember(name, "came more than once")
		case slices.Contains(filters, name):
			p.filter.Set(name, values[0])
		case name != "page_size" && name != "page_token":
			return page{}, invalidMember(name, "is no parameter of this list")
		}
	}
	if query.Has("page_size") {
		p.size, err = strconv.Atoi(query.Get("page_size"))
		if err != nil || p.size < 1 || p.size > maxPageSize {
			return page{}, invalidMember("page_size", "must be from 1 to "+strconv.Itoa(maxPageSize))
		}
	}
	p.bound = []byte(strings.Join([]string{list, p.filter.Encode(), c.caller}, "\n"))
	if token := query.Get("page_token"); query.Has("page_token") {
		after, ok := c.openPage(token, p.bound)
		if !ok {
			return page{}, invalidMember("page_token", "is not one of this list with this filter")
		}
		p.after = after
	}
	return p, nil
}

func (c *call) openPage(token string, bound []byte) (string, bool) {
	if len(token) > maxPageToken {
		return "", false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return "", false
	}
	after, err := c.api.Sealer.Open(pagePurpose, sealed, bound)
	return string(after), err == nil
}

// cut returns the page of a whole list that is sorted by name, and the header
// that leads to the next one.
func cut[T any](c *call, p page, all []T, name func(T) string) ([]T, map[string]string, error) {
	begin, found := slices.BinarySearchFunc(all, p.after, func(v T, after string) int { return strings.Compare(name(v), after) })
	if found {
		begin++
	}
	end := min(begin+p.size, len(all))
	if end == len(all) {
		return all[begin:], nil, nil
	}
	header, err := c.next(p, name(all[end-1]))
	return all[begin:end], header, err
}

// next is the header that leads to the page after one that ends with last.
func (c *call) next(p page, last string) (map[string]string, error) {
	sealed, err := c.api.Sealer.Seal(pagePurpose, []byte(last), p.bound)
	if err != nil {
		return nil, err
	}
	query := url.Values{"page_size": {strconv.Itoa(p.size)}, "page_token": {base64.RawURLEncoding.EncodeToString(sealed)}}
	for filter := range p.filter {
		query.Set(filter, p.filter.Get(filter))
	}
	next := c.api.Issuer + c.URL.EscapedPath() + "?" + query.Encode()
	return map[string]string{"Link": "<" + next + `>; rel="next"`}, nil // RFC 8288
}
