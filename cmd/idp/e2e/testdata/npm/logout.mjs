// Signs a person in with openid-client, signs them out again (OpenID Connect
// RP-Initiated Logout) and hears of it at its back channel, whose token it
// verifies with jose. Spoken as client.mjs does.
import './webcrypto.mjs'; // first: the others look for it
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as oidc from 'openid-client';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => (await lines.next()).value;
const say = (message) => console.log(JSON.stringify(message));

const { issuer, client, port } = JSON.parse(await read());
const config = await oidc.discovery(new URL(issuer), client.id, {}, oidc.ClientSecretBasic(client.secret), { execute: [oidc.allowInsecureRequests] });

const heard = new Promise((resolve) => {
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    response.writeHead(200, { 'Cache-Control': 'no-store' }).end();
    server.close();
    resolve(new URLSearchParams(body).get('logout_token'));
  });
  server.listen(port, '127.0.0.1');
});

const verifier = oidc.randomPKCECodeVerifier();
const state = oidc.randomState();
say({
  url: oidc.buildAuthorizationUrl(config, {
    redirect_uri: client.redirectURI,
    scope: 'openid',
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
  }),
});
const tokens = await oidc.authorizationCodeGrant(config, new URL(await read()), { pkceCodeVerifier: verifier, expectedState: state, idTokenExpected: true });
const claims = tokens.claims();
assert.ok(claims.sid);

say({ url: oidc.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: client.bye, state }) });
const bye = new URL(await read());
assert.equal(bye.origin + bye.pathname, client.bye);
assert.equal(bye.searchParams.get('state'), state);

const keys = createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri));
const { payload } = await jwtVerify(await heard, keys, { issuer, audience: client.id, typ: 'logout+jwt', maxTokenAge: '1 minute', requiredClaims: ['jti', 'events'] });
assert.equal(payload.sid, claims.sid);
assert.equal(payload.sub, claims.sub);
assert.deepEqual(payload.events, { 'http://schemas.openid.net/event/backchannel-logout': {} });
assert.equal(payload.nonce, undefined);

say({ ok: true });
process.exit(0);
