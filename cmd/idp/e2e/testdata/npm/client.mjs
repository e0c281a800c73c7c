// Signs a person in with openid-client and does with the tokens what an
// application does.
import { authorization, done, insecure, open, settings } from './harness.mjs';
import assert from 'node:assert/strict';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as oidc from 'openid-client';

const { issuer, audience, user, client, service } = settings;

const authentication = {
  client_secret_basic: oidc.ClientSecretBasic,
  client_secret_post: oidc.ClientSecretPost,
  none: () => oidc.None(),
};
const connect = (c, metadata = {}) =>
  oidc.discovery(new URL(issuer), c.id, metadata, authentication[c.method](c.secret), insecure);

// A resource server: the published keys, the issuer's name and its own. The
// typ keeps ID tokens out (RFC 9068 section 4).
const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', issuer));
const asApi = (token, options) => jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt', algorithms: ['ES256'], ...options });

// The sign-in.
const config = await connect(client);
assert.equal(config.serverMetadata().supportsPKCE(), true);
oidc.enableNonRepudiationChecks(config); // verifies the ID token's signature, too
const { request, checks } = await authorization({
  redirect_uri: client.redirectURI,
  scope: 'openid profile email offline_access orders:read',
  resource: audience,
});
const callback = await open(oidc.buildAuthorizationUrl(config, request));
const tokens = await oidc.authorizationCodeGrant(config, callback, checks);
assert.equal(tokens.token_type, 'bearer'); // openid-client lowers it
assert.ok(tokens.expiresIn() > 500);
assert.ok(tokens.refresh_token);
const claims = tokens.claims();
assert.equal(claims.sub, user.sub);
assert.equal(claims.nonce, checks.expectedNonce);

const access = await asApi(tokens.access_token);
assert.equal(access.payload.sub, user.sub);
assert.equal(access.payload.client_id, client.id);
assert.ok(access.payload.scope.split(' ').includes('orders:read'));
await assert.rejects(asApi(tokens.access_token, { audience: 'https://other.example' }), { code: 'ERR_JWT_CLAIM_VALIDATION_FAILED', claim: 'aud' });
await assert.rejects(asApi(tokens.id_token, { audience: client.id, algorithms: ['RS256'] }), { code: 'ERR_JWT_CLAIM_VALIDATION_FAILED', claim: 'typ' });

const info = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);
assert.equal(info.name, user.name);
assert.equal(info.email, user.email);

// Refresh.
const second = await oidc.refreshTokenGrant(config, tokens.refresh_token, { resource: audience });
assert.notEqual(second.access_token, tokens.access_token);
assert.notEqual(second.refresh_token, tokens.refresh_token);
assert.equal(second.claims().sub, user.sub);
await asApi(second.access_token);

// Introspection, for those who may, and revocation.
if (client.method !== 'none') {
  const active = await oidc.tokenIntrospection(config, second.access_token);
  assert.equal(active.active, true);
  assert.equal(active.sub, user.sub);
}
await oidc.tokenRevocation(config, second.refresh_token, { token_type_hint: 'refresh_token' });
if (client.method !== 'none') {
  assert.deepEqual(await oidc.tokenIntrospection(config, second.refresh_token), { active: false });
  assert.deepEqual(await oidc.tokenIntrospection(config, second.access_token), { active: false });
}
await assert.rejects(oidc.refreshTokenGrant(config, second.refresh_token), { error: 'invalid_grant', status: 400 });
await assert.rejects(oidc.fetchUserInfo(config, second.access_token, claims.sub), (err) => {
  assert.equal(err.status, 401);
  assert.equal(err.cause[0].parameters.error, 'invalid_token');
  return true;
});

// A code is good once.
await assert.rejects(oidc.authorizationCodeGrant(config, callback, checks), { error: 'invalid_grant', status: 400 });

// A service, with nobody behind it.
const machine = await connect(service);
const own = await oidc.clientCredentialsGrant(machine, { scope: 'orders:read', resource: audience });
assert.equal(own.refresh_token, undefined);
assert.equal(own.id_token, undefined);
assert.equal(own.scope, 'orders:read');
const ownClaims = await asApi(own.access_token, { subject: service.id });
assert.equal(ownClaims.payload.client_id, service.id);
assert.equal((await oidc.tokenIntrospection(machine, own.access_token)).active, true);
await oidc.tokenRevocation(machine, own.access_token);
assert.deepEqual(await oidc.tokenIntrospection(machine, own.access_token), { active: false });
const impostor = await connect({ ...service, secret: `${service.secret}x` });
await assert.rejects(oidc.clientCredentialsGrant(impostor), (err) => {
  assert.equal(err.status ?? err.cause.status, 401);
  return true;
});

done();
