// Says whether @fanoutio/grip takes a signature: node verify.js TOKEN KEY ISSUER

import { validateSig } from "@fanoutio/grip";

const [token, key, issuer] = process.argv.slice(2);
console.log(await validateSig(token, key, issuer));
