package console

func showHome(v *visit) error {
	p := v.frame("/console", "Home")
	return v.show(p)
}
