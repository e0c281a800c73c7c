package demo_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"idp/internal/demo"
)

// An API says where tokens for it come from (RFC 9728 section 5.1).
func ExampleNewAPI() {
	api := demo.NewAPI(demo.APIConfig{
		Issuer:   "https://id.example.com",
		Audience: "https://api.example.com",
		Scope:    "demo:read",
		Now:      time.Now,
	})
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://api.example.com/", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// 401 Bearer realm="demo-api", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"
}
