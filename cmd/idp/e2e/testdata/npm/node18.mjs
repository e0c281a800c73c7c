// What Node.js 18, as Debian 12 has it, does unlike its successors: it hides Web
// Crypto behind a flag, and tries one address of localhost only, which may be
// the one that nobody listens at.
import { webcrypto } from 'node:crypto';
import { setDefaultResultOrder } from 'node:dns';

globalThis.crypto ??= webcrypto;
globalThis.CryptoKey ??= webcrypto.CryptoKey;
setDefaultResultOrder('ipv4first');
