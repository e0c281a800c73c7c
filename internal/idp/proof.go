package idp

import (
	"slices"
	"time"
)

// Factor is one way in which a person proved who they are.
type Factor string

// The factors.
const (
	FactorPassword     Factor = "password"
	FactorTOTP         Factor = "totp"          // a code of an authenticator app (RFC 6238)
	FactorRecoveryCode Factor = "recovery_code" // one of a list kept for emergencies
	// FactorPasskey is a WebAuthn credential that somebody touched. With
	// FactorVerified it checked who: by PIN, finger or face. With FactorBound
	// its key cannot leave the device.
	FactorPasskey  Factor = "passkey"
	FactorVerified Factor = "passkey_verified"
	FactorBound    Factor = "passkey_bound"
)

// Authentication context classes (the acr claim), each of which includes those
// before it. The last two are those of the OpenID Connect Extended
// Authentication Profile ACR Values 1.0.
const (
	ACRPassword          = "1"    // one factor
	ACRMultiFactor       = "2"    // two factors of different kinds
	ACRPhishingResistant = "phr"  // and nothing that another site could have asked for
	ACRHardwareProtected = "phrh" // and by a key that cannot leave its device
)

// ACRs are the authentication context classes from weakest to strongest.
func ACRs() []string {
	return []string{ACRPassword, ACRMultiFactor, ACRPhishingResistant, ACRHardwareProtected}
}

// ACRSatisfies reports whether a sign-in of class held is as good as wanted.
// Only itself satisfies an unknown class.
func ACRSatisfies(held, wanted string) bool {
	order := ACRs()
	h, w := slices.Index(order, held), slices.Index(order, wanted)
	return held == wanted || w >= 0 && h >= w
}

// Proof is what a person has proven in one browser on the way to a session.
type Proof struct {
	UserID  string    `json:"u"`
	Factors []Factor  `json:"f"`
	At      time.Time `json:"t"` // of the last factor
}

// Has reports whether the factor is among those proven.
func (p *Proof) Has(f Factor) bool { return p != nil && slices.Contains(p.Factors, f) }

// With returns the proof with further factors proven at now.
func (p *Proof) With(now time.Time, factors ...Factor) *Proof {
	more := &Proof{UserID: p.UserID, Factors: slices.Clone(p.Factors), At: now}
	for _, f := range factors {
		if !p.Has(f) {
			more.Factors = append(more.Factors, f)
		}
	}
	return more
}

// ACR returns the strongest class that the proven factors amount to.
func (p *Proof) ACR() string {
	switch {
	case p.Has(FactorPasskey) && p.multiFactor() && p.Has(FactorBound):
		return ACRHardwareProtected
	case p.Has(FactorPasskey) && p.multiFactor():
		return ACRPhishingResistant
	case p.multiFactor():
		return ACRMultiFactor
	}
	return ACRPassword
}

// multiFactor reports whether something known or inherent and something
// possessed were both proven.
func (p *Proof) multiFactor() bool {
	known := p.Has(FactorPassword) || p.Has(FactorVerified)
	possessed := p.Has(FactorTOTP) || p.Has(FactorRecoveryCode) || p.Has(FactorPasskey)
	return known && possessed
}

// AMR returns the methods for the amr claim (RFC 8176 section 2), in a stable
// order.
func (p *Proof) AMR() []string {
	var amr []string
	add := func(said bool, method string) {
		if said {
			amr = append(amr, method)
		}
	}
	add(p.Has(FactorPassword), "pwd")
	add(p.Has(FactorTOTP) || p.Has(FactorRecoveryCode), "otp")
	add(p.Has(FactorPasskey) && p.Has(FactorBound), "hwk")
	add(p.Has(FactorPasskey) && !p.Has(FactorBound), "swk")
	add(p.Has(FactorVerified), "user")
	add(p.multiFactor(), "mfa")
	return amr
}

// ProofOf reads back from a session what was proven for it.
func ProofOf(s *Session) *Proof {
	p := &Proof{UserID: s.UserID, At: s.AuthTime}
	for _, method := range s.AMR {
		switch method {
		case "pwd":
			p.Factors = append(p.Factors, FactorPassword)
		case "otp":
			p.Factors = append(p.Factors, FactorTOTP)
		case "hwk":
			p.Factors = append(p.Factors, FactorPasskey, FactorBound)
		case "swk":
			p.Factors = append(p.Factors, FactorPasskey)
		case "user":
			p.Factors = append(p.Factors, FactorVerified)
		}
	}
	return p
}

// Reaches reports whether the person has something that, after a password,
// amounts to the class.
func (f *Factors) Reaches(acr string) bool {
	switch {
	case ACRSatisfies(ACRPassword, acr):
		return true
	case ACRSatisfies(ACRMultiFactor, acr):
		return f.SecondFactor()
	case ACRSatisfies(ACRPhishingResistant, acr):
		return len(f.Passkeys) > 0
	case ACRSatisfies(ACRHardwareProtected, acr):
		return slices.ContainsFunc(f.Passkeys, func(p Passkey) bool { return !p.BackupEligible })
	}
	return false
}
