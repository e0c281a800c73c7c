// An application of two issuers, one of which mixes them up. Where the person
// is sent to the other issuer, login_hint tells the test what happens there.
import { authorization, done, insecure, open, settings } from './harness.mjs';
import assert from 'node:assert/strict';
import * as oidc from 'openid-client';

const { honest, evil, redirectURI } = settings;

const connect = (issuer) =>
  oidc.discovery(new URL(issuer.issuer), issuer.id, {}, oidc.ClientSecretBasic(issuer.secret), insecure);
const signIn = async (config, hint) => {
  const { request, checks } = await authorization({ redirect_uri: redirectURI, scope: 'openid offline_access', ...(hint && { login_hint: hint }) });
  const callback = await open(oidc.buildAuthorizationUrl(config, request));
  return { callback, tokens: () => oidc.authorizationCodeGrant(config, callback, checks) };
};

// Each of the two signs people in.
const [good, bad] = [await connect(honest), await connect(evil)];
assert.equal((await (await signIn(good)).tokens()).claims().sub, honest.sub);
assert.equal((await (await signIn(bad, 'honest')).tokens()).claims().sub, evil.sub);

// What comes from the honest one is not taken to the other, whatever is asked.
for (const [hint, comes] of [['mix-up', 'code'], ['named', 'code'], ['error', 'error']]) {
  const { callback, tokens } = await signIn(bad, hint);
  assert.ok(callback.searchParams.get(comes), `${hint}: ${callback}`);
  assert.deepEqual(callback.searchParams.getAll('iss'), [honest.issuer], hint);
  await assert.rejects(tokens(), (err) => {
    assert.equal(err.code, 'OAUTH_INVALID_RESPONSE', hint);
    assert.match(err.cause.message, /unexpected "iss"/, hint);
    return true;
  });
}

// Both say in their metadata that they name themselves, so an answer without
// a name is nobody's.
await assert.rejects((await signIn(bad, 'stripped')).tokens(), (err) => {
  assert.equal(err.code, 'OAUTH_INVALID_RESPONSE');
  assert.match(err.cause.message, /"iss" \(issuer\) missing/);
  return true;
});

done();
