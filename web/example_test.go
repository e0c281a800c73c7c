package web_test

import (
	"fmt"
	"strings"

	"idp/web"
)

func ExamplePages_Render() {
	pages, err := web.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	var page strings.Builder
	err = pages.Render(&page, web.ErrorPage{
		Layout:  web.Layout{Title: "Temporarily unavailable", Host: "login.example.com"},
		Message: "Try again in a moment.",
	})
	fmt.Println(err, strings.Contains(page.String(), "<p>Try again in a moment.</p>"))
	// Output: <nil> true
}
