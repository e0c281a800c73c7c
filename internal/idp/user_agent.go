package idp

import "strings"

// DescribeUserAgent names the browser and the system in a User-Agent header, as
// far as it names them; either is empty for one that is not known. It is for
// people to recognise their own devices by: anybody can send anything.
func DescribeUserAgent(userAgent string) (browser, system string) {
	return firstMark(userAgent, browserMarks), firstMark(userAgent, systemMarks)
}

// DeviceName is what DescribeUserAgent knows in one line, such as "Firefox,
// Linux"; empty for nothing.
func DeviceName(userAgent string) string {
	browser, system := DescribeUserAgent(userAgent)
	if browser == "" || system == "" {
		return browser + system
	}
	return browser + ", " + system
}

// mark is a part of the header that only one product sends, among those after
// it in the list.
type mark struct{ part, name string }

// Most browsers say that they are also others, so the order matters.
var browserMarks = []mark{
	{"Edg/", "Edge"},
	{"EdgA/", "Edge"},
	{"EdgiOS/", "Edge"},
	{"OPR/", "Opera"},
	{"SamsungBrowser/", "Samsung Internet"},
	{"Vivaldi/", "Vivaldi"},
	{"YaBrowser/", "Yandex Browser"},
	{"DuckDuckGo/", "DuckDuckGo"},
	{"FxiOS/", "Firefox"},
	{"CriOS/", "Chrome"},
	{"Firefox/", "Firefox"},
	{"HeadlessChrome/", "Chrome"},
	{"Chrome/", "Chrome"},
	{"Chromium/", "Chromium"},
	{"Version/", "Safari"},
	{"curl/", "curl"},
}

var systemMarks = []mark{
	{"iPhone", "iPhone"},
	{"iPad", "iPad"},
	{"Android", "Android"},
	{"CrOS", "ChromeOS"},
	{"Windows", "Windows"},
	{"Macintosh", "macOS"},
	{"Mac OS X", "macOS"},
	{"Linux", "Linux"},
	{"X11", "Linux"},
}

func firstMark(userAgent string, marks []mark) string {
	for _, m := range marks {
		if strings.Contains(userAgent, m.part) {
			return m.name
		}
	}
	return ""
}
