// What the scripts have in common: they talk to the test on stdin and stdout.
// Settings come as JSON in the first line of stdin. The test is the person at
// the browser: it gets {"url"} for each address to open and answers with where
// the browser came out. The last line of stdout is {"ok": true}; anything
// unexpected throws.
import './node18.mjs'; // first: the others look for what it sets
import { createInterface } from 'node:readline';
import * as oidc from 'openid-client';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => (await lines.next()).value;
const say = (message) => console.log(JSON.stringify(message));

export const settings = JSON.parse(await read());

/** The test's issuer is http on loopback. */
export const insecure = { execute: [oidc.allowInsecureRequests] };

/** An authorization request with PKCE, nonce and state, and the checks of its answer. */
export async function authorization(parameters) {
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
  const expectedNonce = oidc.randomNonce();
  const expectedState = oidc.randomState();
  return {
    request: {
      ...parameters,
      code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
      nonce: expectedNonce,
      state: expectedState,
    },
    checks: { pkceCodeVerifier, expectedNonce, expectedState, idTokenExpected: true },
  };
}

/** Lets the person open an address and returns where the browser came out. */
export async function open(url) {
  say({ url });
  return new URL(await read());
}

export function done() {
  say({ ok: true });
  process.exit(0);
}
