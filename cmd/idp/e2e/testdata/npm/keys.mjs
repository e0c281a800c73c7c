// Signs a person in with openid-client as an application that has keys: it
// signs its token requests and opens what is encrypted to it.
import { authorization, done, insecure, open, settings } from './harness.mjs';
import assert from 'node:assert/strict';
import { importJWK } from 'jose';
import * as oidc from 'openid-client';

const { issuer, client, redirectURI, user, signing, encryption, hmac } = settings;
const key = async (jwk) => ({ key: await importJWK(jwk), kid: jwk.kid, alg: jwk.alg });

const metadata = { id_token_signed_response_alg: 'ES512', userinfo_signed_response_alg: 'EdDSA' };
const config = await oidc.discovery(new URL(issuer), client, metadata, oidc.PrivateKeyJwt(await key(signing)), insecure);
oidc.enableNonRepudiationChecks(config);
oidc.enableDecryptingResponses(config, ['A256GCM'], await key(encryption));

const { request, checks } = await authorization({ redirect_uri: redirectURI, scope: 'openid email offline_access' });
const callback = await open(oidc.buildAuthorizationUrl(config, request));
const tokens = await oidc.authorizationCodeGrant(config, callback, checks);
assert.equal(tokens.id_token.split('.').length, 5); // a JWE
assert.equal(tokens.claims().sub, user.sub);

const info = await oidc.fetchUserInfo(config, tokens.access_token, user.sub);
assert.equal(info.email, user.email);
assert.equal(info.aud, client);

const second = await oidc.refreshTokenGrant(config, tokens.refresh_token);
assert.equal(second.claims().sub, user.sub);
assert.equal((await oidc.tokenIntrospection(config, second.access_token)).active, true);
await oidc.tokenRevocation(config, second.refresh_token);
assert.deepEqual(await oidc.tokenIntrospection(config, second.access_token), { active: false });

const service = await oidc.discovery(new URL(issuer), hmac.id, undefined, oidc.ClientSecretJwt(hmac.secret), insecure);
assert.ok((await oidc.clientCredentialsGrant(service)).access_token);

done();
