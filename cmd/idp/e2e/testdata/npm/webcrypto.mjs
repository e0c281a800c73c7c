// Node.js 18, as Debian 12 has it, hides Web Crypto behind a flag.
import { webcrypto } from 'node:crypto';

globalThis.crypto ??= webcrypto;
globalThis.CryptoKey ??= webcrypto.CryptoKey;
