// Keys and tokens by jose; and what a backend that uses jose makes of the token it gets.

import { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from "jose";
import { readFileSync, writeFileSync } from "node:fs";
import assert from "node:assert/strict";

const [command, folder, port] = process.argv.slice(2);

if (command === "make") {
    const keys = [];
    const tokens = [];
    for (const alg of ["ES256", "EdDSA", "RS256"]) {
        const { publicKey, privateKey } = await generateKeyPair(alg, { crv: "Ed25519", extractable: true });
        keys.push({ ...(await exportJWK(publicKey)), kid: `jose-${alg}`, alg, use: "sig" });
        const token = new SignJWT({ keytype: "SANDBOX", application: { name: "Shop", id: 7 } });
        token.setProtectedHeader({ alg, kid: `jose-${alg}` }).setIssuer("https://jose.example").setSubject("bea");
        tokens.push(await token.setExpirationTime("1h").sign(privateKey));
    }
    writeFileSync(`${folder}/jose.json`, JSON.stringify({ keys }));
    writeFileSync(`${folder}/jose-tokens.txt`, JSON.stringify(tokens));
} else {
    const gateway = `http://127.0.0.1:${port}`;
    const tokens = JSON.parse(readFileSync(`${folder}/jose-tokens.txt`, "utf8"));
    const jwks = createRemoteJWKSet(new URL(`${gateway}/.well-known/jwks.json`));
    for (const token of tokens) {
        const answer = await fetch(`${gateway}/orders/1/x`, {
            headers: { authorization: `Bearer ${token}`, "x-jwt-assertion": "forged" },
        });
        const { side, assertion } = await answer.json();
        assert.equal(side, "sandbox");
        const { payload } = await jwtVerify(assertion, jwks, { issuer: "wso2.org/products/am", algorithms: ["ES256"] });
        assert.equal(payload["http://wso2.org/claims/enduser"], "bea");
        assert.equal(payload["http://wso2.org/claims/applicationname"], "Shop");
        assert.equal(payload["http://wso2.org/claims/version"], "1");
        assert.equal(payload["http://wso2.org/claims/keytype"], "SANDBOX");
    }
    console.log(`${tokens.length} tokens of jose were taken, and jose took the backend's`);
}
