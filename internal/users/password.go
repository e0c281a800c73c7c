package users

// What a new password must be like (NIST SP 800-63B section 3.1.1.2): long
// enough, not what guessers try first, and nothing about its composition. It is
// judged when it is set, and never again.

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"idp/internal/idp"
)

//go:embed common_passwords.txt
var commonPasswords string

const (
	// minWord is the shortest word that counts as one, and minRow the shortest
	// piece of a row, in characters.
	minWord, minRow = 3, 3
	// maxCommon is how many common words make a password as common as they are.
	// More of them are a passphrase.
	maxCommon = 2
	// mustRemain is how many letters have to be left of a password when all that
	// can be guessed is taken away, and maxOrnament how many digits and signs do
	// not make up for them.
	mustRemain, maxOrnament = 4, 6
	// maxUnit is the longest text whose repetition is no password, in characters.
	maxUnit = 4
)

// rows are what fingers slide along, in both directions.
var rows = []string{
	"abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "qazwsxedcrfvtgbyhnujm", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0", "!@#$%^&*()", "zaq1xsw2cde3vfr4",
}

// passwordRules judges new passwords.
type passwordRules struct {
	minLength int
	common    []string
	service   []string
	rows      []string // in both directions
	denied    *DeniedPasswords
	breached  Breaches
}

func newPasswordRules(cfg HasherConfig) passwordRules {
	p := passwordRules{minLength: cfg.MinLength, denied: cfg.Denied, breached: cfg.Breached}
	p.common = words(strings.Fields(commonPasswords)...)
	p.service = words(serviceWords(cfg.ServiceNames)...)
	for _, row := range rows {
		p.rows = append(p.rows, row, reversed(row))
	}
	return p
}

// check returns nil for a password that may be set, and an *idp.InvalidError
// that names "password" and the rule for any other.
func (p *passwordRules) check(ctx context.Context, person idp.User, password string) error {
	// 1. Its form.
	switch length := utf8.RuneCountInString(password); {
	case checkSize(password) != nil:
		return checkSize(password)
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return refused(idp.PasswordUnusable, "is not text in UTF-8")
	case length < p.minLength:
		err := refused(idp.PasswordTooShort, fmt.Sprintf("has fewer than %d characters", p.minLength))
		err.Limit = p.minLength
		return err
	case repeats(password):
		return refused(idp.PasswordRepeated, "is the same few characters again and again")
	}
	// 2. Whether it can be guessed.
	if rule, reason := p.guessable(person, password); rule != "" {
		return refused(rule, reason)
	}
	// 3. Whether somebody has it already.
	if p.denied != nil {
		switch listed, err := p.denied.Contains(password); {
		case err != nil:
			return err
		case listed:
			return refused(idp.PasswordCommon, "is on this installation's list of passwords that are not allowed")
		}
	}
	if p.breached != nil && breached(ctx, p.breached, password) {
		return refused(idp.PasswordBreached, "was leaked elsewhere: guessers know it")
	}
	return nil
}

func refused(rule idp.PasswordRule, reason string) *idp.InvalidError {
	return &idp.InvalidError{Field: "password", Reason: reason, Rule: rule}
}

// checkSize is asked before anything is hashed.
func checkSize(password string) error {
	if len(password) > maxPassword {
		err := refused(idp.PasswordTooLong, fmt.Sprintf("is longer than %d bytes", maxPassword))
		err.Limit = maxPassword
		return err
	}
	return nil
}

// repeats reports whether the password is one text of a few characters over
// and over.
func repeats(password string) bool {
	runes := []rune(password)
	for unit := 1; unit <= maxUnit && unit*2 <= len(runes); unit++ {
		same := true
		for i := unit; i < len(runes) && same; i++ {
			same = runes[i] == runes[i-unit]
		}
		if same {
			return true
		}
	}
	return false
}

// guessable takes away what a guesser would try: the person's names, the
// service's, a common word or two, and rows of keys. When hardly more is left
// than the digits and signs that people put around a word, the rule is that
// which took the most.
func (p *passwordRules) guessable(person idp.User, password string) (rule idp.PasswordRule, reason string) {
	personal := words(personalWords(person)...)
	for _, text := range spellings(password) {
		most, taken := 0, 0
		took := func(n int, by idp.PasswordRule, because string) {
			taken += n
			if n > most {
				most, rule, reason = n, by, because
			}
		}
		var n int
		text, n = without(text, personal, len(text))
		took(n, idp.PasswordPersonal, "is made of the user name, the name or the e-mail address")
		text, n = without(text, p.service, len(text))
		took(n, idp.PasswordService, "is made of the name of this service")
		text, n = without(text, p.common, maxCommon)
		took(n, idp.PasswordCommon, "is among the most common ones")
		text, n = p.withoutRows(text)
		took(n, idp.PasswordSequence, "is a row of keys, letters or digits")

		letters, others := 0, 0
		for _, r := range text {
			switch {
			case unicode.IsLetter(r):
				letters++
			case r != gap:
				others++
			}
		}
		if taken >= minWord && letters < mustRemain && others <= maxOrnament {
			return rule, reason
		}
	}
	return "", ""
}

// spellings are the password in lower case, and without the look-alikes that
// people write letters as.
func spellings(password string) []string {
	lower := strings.ToLower(password)
	return []string{lower, lookAlikes.Replace(strings.TrimFunc(lower, func(r rune) bool { return !unicode.IsLetter(r) && r != '@' && r != '$' }))}
}

var lookAlikes = strings.NewReplacer("0", "o", "1", "i", "!", "i", "|", "i", "3", "e", "4", "a", "@", "a", "5", "s", "$", "s", "7", "t", "+", "t", "8", "b", "9", "g")

// gap stands where something was taken away, so that what was apart does not
// come together.
const gap = '\x00'

// without takes the words out of the text, as many as may go, and returns how
// many characters that were.
func without(text string, words []string, most int) (left string, taken int) {
	for _, word := range words {
		if n := min(strings.Count(text, word), most); n > 0 {
			text = strings.Replace(text, word, string(gap), n)
			taken += n * utf8.RuneCountInString(word)
			most -= n
		}
	}
	return text, taken
}

// withoutRows takes out what runs along a row for a few keys or more.
func (p *passwordRules) withoutRows(text string) (left string, taken int) {
	var kept strings.Builder
	for text != "" {
		longest := 0
		for _, row := range p.rows {
			for n := max(minRow, longest+1); n <= len(text) && strings.Contains(row, text[:n]); n++ {
				longest = n
			}
		}
		if longest == 0 {
			_, longest = utf8.DecodeRuneInString(text)
			kept.WriteString(text[:longest])
		} else {
			kept.WriteRune(gap)
			taken += longest
		}
		text = text[longest:]
	}
	return kept.String(), taken
}

// words are texts as they are looked for: in lower case, also without
// look-alikes, the longest first, and none that is too short to mean anything.
func words(texts ...string) []string {
	var all []string
	for _, text := range texts {
		lower := strings.ToLower(text)
		for _, word := range []string{lower, lookAlikes.Replace(lower)} {
			if utf8.RuneCountInString(word) >= minWord {
				all = append(all, word)
			}
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(all)
}

// personalWords are what the person is called, whole and in pieces.
func personalWords(person idp.User) []string {
	var all []string
	for _, name := range []string{
		person.Username, person.Profile.Email, person.Profile.Name, person.Profile.GivenName, person.Profile.MiddleName,
		person.Profile.FamilyName, person.Profile.Nickname, person.Profile.PreferredUsername,
	} {
		local, _, _ := strings.Cut(name, "@")
		all = append(append(all, name, local), pieces(name)...)
	}
	return all
}

// serviceWords are the names of this service, whole and in pieces.
func serviceWords(names []string) []string {
	var all []string
	for _, name := range names {
		if _, err := netip.ParseAddr(name); err != nil {
			all = append(append(all, name), pieces(name)...)
		}
	}
	return all
}

func pieces(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}
