package users

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"idp/internal/idp"
)

// maxClaim is the length of the longest name or address, in characters.
const maxClaim = 200

var (
	birthdateForm = regexp.MustCompile(`^[0-9]{4}(-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]))?$`)
	zoneinfoForm  = regexp.MustCompile(`^[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,3}$`)
	localeForm    = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$`)
)

// SaveProfile replaces what the person may change. The user is as the caller
// has read it: somebody else's change since is idp.ErrConflict. What cannot be
// is *idp.InvalidError, which names the claim.
func (s *Self) SaveProfile(ctx context.Context, user idp.User, from idp.Whereabouts, change idp.ProfileChange) error {
	profile, fields, err := applyChange(user.Profile, change)
	if err != nil {
		return err
	}
	attributes, changed, err := s.applyAttributes(user.Attributes, change.Attributes)
	if err != nil {
		return err
	}
	if fields = append(fields, changed...); len(fields) == 0 {
		return nil
	}
	event := s.event(s.now(), idp.EventUserUpdated, user.ID, from)
	event.Detail["fields"] = strings.Join(fields, " ")
	if err := s.store.SaveProfile(ctx, user.ID, profile, attributes, user.UpdatedAt, event); err != nil {
		return fmt.Errorf("users: save a profile: %w", err)
	}
	return nil
}

// SavePreferences replaces how the person sees the pages.
func (s *Self) SavePreferences(ctx context.Context, user idp.User, p idp.Preferences) error {
	if p == user.Preferences {
		return nil
	}
	if err := s.store.SetPreferences(ctx, user.ID, p); err != nil {
		return fmt.Errorf("users: save preferences: %w", err)
	}
	return nil
}

func applyChange(p idp.Profile, c idp.ProfileChange) (idp.Profile, []string, error) {
	var fields []string
	for _, f := range []struct {
		claim, typed string
		to           *string
		good         func(string) bool
	}{
		{"name", c.Name, &p.Name, isLine},
		{"given_name", c.GivenName, &p.GivenName, isLine},
		{"family_name", c.FamilyName, &p.FamilyName, isLine},
		{"nickname", c.Nickname, &p.Nickname, isLine},
		{"website", c.Website, &p.Website, isWebsite},
		{"birthdate", c.Birthdate, &p.Birthdate, birthdateForm.MatchString},
		{"zoneinfo", c.Zoneinfo, &p.Zoneinfo, zoneinfoForm.MatchString},
		{"locale", c.Locale, &p.Locale, localeForm.MatchString},
	} {
		typed := strings.TrimSpace(f.typed)
		if typed == *f.to {
			continue // what was there may stay, whoever put it there
		}
		if typed != "" && (!isLine(typed) || !f.good(typed)) {
			return p, nil, idp.Invalid(f.claim, "cannot be used")
		}
		*f.to = typed
		fields = append(fields, f.claim)
	}
	return p, fields, nil
}

// applyAttributes changes those that people may change themselves.
func (s *Self) applyAttributes(before idp.Attributes, typed map[string]string) (after idp.Attributes, fields []string, err error) {
	after = before.With(nil)
	for _, a := range s.attributes.Declared() {
		text, given := typed[a.Name]
		if text = strings.TrimSpace(text); !given || !a.Own || text == idp.TextOf(before[a.Name]) {
			continue
		}
		if text == "" {
			delete(after, a.Name)
		} else if after[a.Name], err = s.attributes.Parse(a.Name, text); err != nil {
			return nil, nil, err
		}
		fields = append(fields, "attributes."+a.Name)
	}
	if len(fields) > 0 {
		err = s.attributes.Check(before, after)
	}
	return after, fields, err
}

// isLine lets through one line of text without anything that hides or turns
// what stands around it.
func isLine(text string) bool {
	return utf8.ValidString(text) && utf8.RuneCountInString(text) <= maxClaim &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || unicode.Is(unicode.Cf, r) })
}

func isWebsite(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}
