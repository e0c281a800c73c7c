package login

import (
	"idp/internal/idp"
	"idp/web"
)

// passwordRefused says which rule a new password breaks.
func passwordRefused(fault *idp.InvalidError) *web.Text {
	switch fault.Rule {
	case idp.PasswordTooShort:
		return web.Say("password.too_short", "count", fault.Limit)
	case idp.PasswordTooLong:
		return web.Say("password.too_long", "count", fault.Limit)
	case idp.PasswordRepeated:
		return web.Say("password.repeated")
	case idp.PasswordSequence:
		return web.Say("password.sequence")
	case idp.PasswordPersonal:
		return web.Say("password.personal")
	case idp.PasswordService:
		return web.Say("password.service")
	case idp.PasswordCommon:
		return web.Say("password.common")
	case idp.PasswordBreached:
		return web.Say("password.breached")
	}
	return web.Say("password.unusable")
}
