// An application that listens: with openid-client it signs a person in by a
// form post to its callback, signs them out again (OpenID Connect RP-Initiated
// Logout) and hears of it at its back channel, whose token it verifies with jose.
import { authorization, done, insecure, open, settings } from './harness.mjs';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as oidc from 'openid-client';

const { issuer, client, port, user } = settings;
const config = await oidc.discovery(new URL(issuer), client.id, {}, oidc.ClientSecretBasic(client.secret), insecure);
oidc.enableNonRepudiationChecks(config);

// What is posted to a path, once.
const posted = {};
const arrivals = Object.fromEntries(['/callback', '/logout'].map((path) => [path, new Promise((resolve) => (posted[path] = resolve))]));
createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  response.writeHead(200, { 'Cache-Control': 'no-store' }).end();
  posted[request.url](new Request(`http://127.0.0.1:${port}${request.url}`, { method: request.method, headers: { 'content-type': request.headers['content-type'] }, body }));
}).listen(port, '127.0.0.1');

const { request, checks } = await authorization({ redirect_uri: client.redirectURI, scope: 'openid', response_mode: 'form_post' });
const cameOut = await open(oidc.buildAuthorizationUrl(config, request));
assert.equal(cameOut.href, client.redirectURI); // nothing in query or fragment
const tokens = await oidc.authorizationCodeGrant(config, await arrivals['/callback'], checks);
const claims = tokens.claims();
assert.equal(claims.sub, user.sub);
assert.ok(claims.sid);

const state = oidc.randomState();
const bye = await open(oidc.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: client.bye, state }));
assert.equal(bye.origin + bye.pathname, client.bye);
assert.equal(bye.searchParams.get('state'), state);

const heard = await (await arrivals['/logout']).formData();
assert.deepEqual([...heard.keys()], ['logout_token']);
const keys = createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri));
const { payload } = await jwtVerify(heard.get('logout_token'), keys, { issuer, audience: client.id, typ: 'logout+jwt', maxTokenAge: '1 minute', requiredClaims: ['jti', 'events'] });
assert.equal(payload.sid, claims.sid);
assert.equal(payload.sub, claims.sub);
assert.deepEqual(payload.events, { 'http://schemas.openid.net/event/backchannel-logout': {} });
assert.equal(payload.nonce, undefined);

done();
