package server

import "testing"

// Metrics name routes as people write them, without the patterns of variables.
func TestRouteNames(t *testing.T) {
	for path, want := range map[string]string{
		"/":                                     "/",
		"/oauth2/token":                         "/oauth2/token",
		"/recover/{outcome:sent|done}":          "/recover/{outcome}",
		"/pictures/{picture:[A-Za-z0-9_-]{22}}": "/pictures/{picture}",
		"/static/{file:(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-]+}":             "/static/{file}",
		"/admin/users/{user_id:" + segment + "}/consents/{client_id:" + segment + "}": "/admin/users/{user_id}/consents/{client_id}",
	} {
		if got := routeName(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}
