package web_test

import (
	"fmt"
	"strings"

	"idp/web"
)

func ExamplePages_Render() {
	pages, err := web.New(web.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	var page strings.Builder
	err = pages.Render(&page, web.ErrorPage{
		Layout:  web.Layout{Lang: "en", Host: "login.example.com"},
		Heading: web.Say("error.heading_unavailable"),
		Message: web.Say("error.unavailable"),
	})
	fmt.Println(err, strings.Contains(page.String(), "<h1>Temporarily unavailable</h1>"))
	// Output: <nil> true
}
