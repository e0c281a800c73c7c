package idp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
)

// What a session says of a sign-in is what was proven, no more and no less.
func TestRFC8176_2_ProofTellsWhatHappened(t *testing.T) {
	for _, c := range []struct {
		name    string
		factors []idp.Factor
		acr     string
		amr     []string
	}{
		{"password", []idp.Factor{idp.FactorPassword}, "1", []string{"pwd"}},
		{"password and authenticator", []idp.Factor{idp.FactorPassword, idp.FactorTOTP}, "2", []string{"pwd", "otp", "mfa"}},
		{"password and recovery code", []idp.Factor{idp.FactorPassword, idp.FactorRecoveryCode}, "2", []string{"pwd", "otp", "mfa"}},
		{"two possessions are one kind", []idp.Factor{idp.FactorTOTP, idp.FactorPasskey}, "1", []string{"otp", "swk"}},
		{"touched passkey alone", []idp.Factor{idp.FactorPasskey}, "1", []string{"swk"}},
		{"password and touched passkey", []idp.Factor{idp.FactorPassword, idp.FactorPasskey}, "phr", []string{"pwd", "swk", "mfa"}},
		{"verified passkey", []idp.Factor{idp.FactorPasskey, idp.FactorVerified}, "phr", []string{"swk", "user", "mfa"}},
		{"verified passkey of one device", []idp.Factor{idp.FactorPasskey, idp.FactorVerified, idp.FactorBound}, "phrh", []string{"hwk", "user", "mfa"}},
		{"touched passkey of one device", []idp.Factor{idp.FactorPasskey, idp.FactorBound}, "1", []string{"hwk"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			proof := &idp.Proof{Factors: c.factors}
			require.Equal(t, c.acr, proof.ACR())
			require.Equal(t, c.amr, proof.AMR())
			session := &idp.Session{UserID: "u", AuthTime: time.Unix(1, 0), ACR: c.acr, AMR: c.amr}
			again := idp.ProofOf(session)
			require.Equal(t, c.acr, again.ACR(), "read back from the session")
			require.Equal(t, c.amr, again.AMR())
		})
	}
}

func TestACRSatisfies(t *testing.T) {
	order := idp.ACRs()
	for i, held := range order {
		for j, wanted := range order {
			require.Equal(t, i >= j, idp.ACRSatisfies(held, wanted), "%s for %s", held, wanted)
		}
		require.False(t, idp.ACRSatisfies(held, "urn:example:unknown"))
	}
	require.False(t, idp.ACRSatisfies("", idp.ACRPassword))
	require.True(t, idp.ACRSatisfies("urn:example:own", "urn:example:own"))
}

func TestProofGrows(t *testing.T) {
	first := &idp.Proof{UserID: "u", Factors: []idp.Factor{idp.FactorPassword}, At: time.Unix(1, 0)}
	second := first.With(time.Unix(2, 0), idp.FactorTOTP, idp.FactorPassword)
	require.Equal(t, []idp.Factor{idp.FactorPassword}, first.Factors)
	require.Equal(t, &idp.Proof{UserID: "u", Factors: []idp.Factor{idp.FactorPassword, idp.FactorTOTP}, At: time.Unix(2, 0)}, second)
}

func TestFactorsReach(t *testing.T) {
	synced, bound := idp.Passkey{BackupEligible: true}, idp.Passkey{}
	for _, c := range []struct {
		name    string
		factors idp.Factors
		reaches []string
	}{
		{"nothing", idp.Factors{}, []string{"1"}},
		{"recovery codes alone", idp.Factors{RecoveryCodes: 10}, []string{"1"}},
		{"authenticator", idp.Factors{Authenticators: make([]idp.Authenticator, 1)}, []string{"1", "2"}},
		{"passkey", idp.Factors{Passkeys: []idp.Passkey{synced}}, []string{"1", "2", "phr"}},
		{"passkey of one device", idp.Factors{Passkeys: []idp.Passkey{synced, bound}}, []string{"1", "2", "phr", "phrh"}},
	} {
		for i, class := range append(idp.ACRs(), "urn:x") {
			require.Equal(t, i < len(c.reaches), c.factors.Reaches(class), "%s, %s", c.name, class)
		}
	}
}
