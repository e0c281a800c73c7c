// Registers itself with openid-client, signs its authorization request and
// pushes it, and signs a person in.
import { authorization, done, insecure, open, settings } from './harness.mjs';
import assert from 'node:assert/strict';
import { importJWK } from 'jose';
import * as oidc from 'openid-client';

const { issuer, initialAccessToken, redirectURI, user, signing } = settings;
const { d, ...published } = signing;
assert.ok(d);
const key = { key: await importJWK(signing), kid: signing.kid };

const metadata = {
  client_name: 'Registers itself',
  redirect_uris: [redirectURI],
  grant_types: ['authorization_code', 'refresh_token'],
  token_endpoint_auth_method: 'private_key_jwt',
  jwks: { keys: [published] },
  request_object_signing_alg: 'ES256',
  require_signed_request_object: true,
  require_pushed_authorization_requests: true,
};
await assert.rejects(oidc.dynamicClientRegistration(new URL(issuer), metadata, oidc.PrivateKeyJwt(key), insecure));
const config = await oidc.dynamicClientRegistration(new URL(issuer), metadata, oidc.PrivateKeyJwt(key), { ...insecure, initialAccessToken });
const client = config.clientMetadata();
assert.ok(client.registration_access_token);
assert.equal(client.client_secret, undefined);

// The registration, read again.
const again = await fetch(client.registration_client_uri, { headers: { authorization: `Bearer ${client.registration_access_token}` } });
assert.equal((await again.json()).client_name, metadata.client_name);

const { request, checks } = await authorization({ redirect_uri: redirectURI, scope: 'openid offline_access' });
const signed = await oidc.buildAuthorizationUrlWithJAR(config, request, key);
const pushed = await oidc.buildAuthorizationUrlWithPAR(config, signed.searchParams);
assert.deepEqual([...pushed.searchParams.keys()].sort(), ['client_id', 'request_uri']);
const callback = await open(pushed);
const tokens = await oidc.authorizationCodeGrant(config, callback, checks);
assert.equal(tokens.claims().sub, user.sub);
assert.equal((await oidc.refreshTokenGrant(config, tokens.refresh_token)).claims().sub, user.sub);

done();
