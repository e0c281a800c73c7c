module idp

go 1.26
