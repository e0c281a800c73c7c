package terminal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Config says which client signs in, and for what.
type Config struct {
	Issuer   string // exactly as published
	ClientID string
	Secret   string // empty for a public client
	// InBody sends the secret among the parameters instead of the header.
	InBody bool
	// Push sends the authorization request ahead.
	Push      bool
	Scopes    []string
	Resources []string         // RFC 8707; a token is for the first
	HTTP      *http.Client     // nil is the one of the machine
	Now       func() time.Time // of the checks of ID tokens
}

// Tokens is what the issuer gave. They are verified as far as a client can.
type Tokens struct {
	AccessToken  string    `json:"access_token"`
	TokenType    string    `json:"token_type"`
	ExpiresAt    time.Time `json:"expires_at,omitzero"`
	Scope        string    `json:"scope,omitempty"`
	RefreshToken string    `json:"refresh_token,omitempty"`
	IDToken      string    `json:"id_token,omitempty"`
}

// Client is a client of an issuer that was found.
type Client struct {
	cfg      Config
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	metadata metadata
}

// metadata is what go-oidc does not read of the issuer's (RFC 8414).
type metadata struct {
	SendsIssuer bool     `json:"authorization_response_iss_parameter_supported"`
	Pushed      string   `json:"pushed_authorization_request_endpoint"`
	MustPush    bool     `json:"require_pushed_authorization_requests"`
	Device      string   `json:"device_authorization_endpoint"`
	IDTokenAlgs []string `json:"id_token_signing_alg_values_supported"`
}

// Discover reads the issuer's metadata.
func Discover(ctx context.Context, cfg Config) (*Client, error) {
	c := &Client{cfg: cfg}
	provider, err := oidc.NewProvider(c.http(ctx), cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("the metadata of %s cannot be read: %w", cfg.Issuer, err)
	}
	if err := provider.Claims(&c.metadata); err != nil {
		return nil, fmt.Errorf("the metadata of %s cannot be read: %w", cfg.Issuer, err)
	}
	endpoint := provider.Endpoint()
	// Named outright: probing would send a refused code a second time.
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if cfg.Secret == "" || cfg.InBody {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	endpoint.DeviceAuthURL = c.metadata.Device
	c.oauth = oauth2.Config{ClientID: cfg.ClientID, ClientSecret: cfg.Secret, Endpoint: endpoint, Scopes: cfg.Scopes}
	c.verifier = provider.Verifier(&oidc.Config{
		ClientID: cfg.ClientID, Now: cfg.Now,
		SupportedSigningAlgs: slices.DeleteFunc(c.metadata.IDTokenAlgs, func(alg string) bool { return alg == "none" || strings.HasPrefix(alg, "HS") }),
	})
	return c, nil
}

// Service gets a token for the client itself.
func (c *Client) Service(ctx context.Context) (Tokens, error) {
	config := clientcredentials.Config{
		ClientID: c.cfg.ClientID, ClientSecret: c.cfg.Secret, TokenURL: c.oauth.Endpoint.TokenURL, AuthStyle: c.oauth.Endpoint.AuthStyle,
		Scopes: c.cfg.Scopes, EndpointParams: url.Values{},
	}
	if len(c.cfg.Resources) > 0 {
		config.EndpointParams.Set("resource", c.cfg.Resources[0])
	}
	token, err := config.Token(c.http(ctx))
	if err != nil {
		return Tokens{}, refusal(err)
	}
	return tokensOf(token), nil
}

// Device signs somebody in who types a code into a browser elsewhere
// (RFC 8628); tell says where and which.
func (c *Client) Device(ctx context.Context, tell func(address, code string)) (Tokens, error) {
	if c.metadata.Device == "" {
		return Tokens{}, errors.New("the issuer has no device flow")
	}
	ctx = c.http(ctx)
	asked, err := c.oauth.DeviceAuth(ctx)
	if err != nil {
		return Tokens{}, refusal(err)
	}
	tell(asked.VerificationURI, asked.UserCode)
	token, err := c.oauth.DeviceAccessToken(ctx, asked)
	if err != nil {
		return Tokens{}, refusal(err)
	}
	return c.verified(ctx, token, "")
}

// verified checks the ID token that came with an access token (OpenID Connect
// Core section 3.1.3.7).
func (c *Client) verified(ctx context.Context, token *oauth2.Token, nonce string) (Tokens, error) {
	out := tokensOf(token)
	if !slices.Contains(c.cfg.Scopes, oidc.ScopeOpenID) && out.IDToken == "" {
		return out, nil
	}
	if strings.Count(out.IDToken, ".") == 4 {
		return Tokens{}, errors.New("the ID token is encrypted to a key of the application: only it can open it")
	}
	id, err := c.verifier.Verify(ctx, out.IDToken)
	if err != nil {
		return Tokens{}, fmt.Errorf("the ID token is not right: %w", err)
	}
	if id.Nonce != nonce {
		return Tokens{}, errors.New("the ID token is not for this sign-in: its nonce is another one")
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(out.AccessToken); err != nil {
			return Tokens{}, errors.New("the ID token belongs to another access token: at_hash differs")
		}
	}
	return out, nil
}

func tokensOf(token *oauth2.Token) Tokens {
	text := func(name string) string { s, _ := token.Extra(name).(string); return s }
	return Tokens{
		AccessToken: token.AccessToken, TokenType: token.TokenType, ExpiresAt: token.Expiry.UTC().Truncate(time.Second),
		Scope: text("scope"), RefreshToken: token.RefreshToken, IDToken: text("id_token"),
	}
}

func (c *Client) http(ctx context.Context) context.Context {
	if c.cfg.HTTP == nil {
		return ctx
	}
	return oidc.ClientContext(ctx, c.cfg.HTTP)
}

// refusal says why the issuer refused. The library's own text quotes the
// answer's body.
func refusal(err error) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return err
	}
	if refused.ErrorCode == "" {
		var said struct {
			Code        string `json:"error"`
			Description string `json:"error_description"`
		}
		_ = json.Unmarshal(refused.Body, &said)
		refused.ErrorCode, refused.ErrorDescription = said.Code, said.Description
	}
	if refused.ErrorCode == "" && refused.Response != nil {
		return fmt.Errorf("the issuer answered %s", refused.Response.Status)
	}
	return refusedWith(refused.ErrorCode, refused.ErrorDescription)
}

func refusedWith(code, description string) error {
	if description == "" {
		return fmt.Errorf("the issuer refused: %s", code)
	}
	return fmt.Errorf("the issuer refused: %s: %s", code, description)
}
