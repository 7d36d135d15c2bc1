"""Keys and tokens by PyJWT and cryptography: good ones, and ones forged in every way of reliability.md S-JWT-1."""

import base64
import hashlib
import hmac
import http.client
import http.server
import json
import pathlib
import sys
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.example"


def part(value):
    data = value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def private_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def make(folder):
    keys = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "ed": ed25519.Ed25519PrivateKey.generate(),
    }
    writers = {"rsa": RSAAlgorithm, "ec": ECAlgorithm, "ed": OKPAlgorithm}
    jwks = []
    for name, key in keys.items():
        jwk = json.loads(writers[name].to_jwk(key.public_key()))
        jwks.append({**jwk, "kid": name, "use": "sig"})
    (folder / "jwks.json").write_text(json.dumps({"keys": jwks}))
    (folder / "signing.pem").write_bytes(private_pem(ec.generate_private_key(ec.SECP256R1())))

    now = int(time.time())

    def claims(**change):
        all_claims = {"iss": ISSUER, "aud": "orders", "sub": "ann", "exp": now + 3600, **change}
        return {name: value for name, value in all_claims.items() if value is not None}

    def signed(key="rsa", algorithm="RS256", headers=None, **change):
        return jwt.encode(claims(**change), keys[key], algorithm, headers={"kid": key, **(headers or {})})

    def by_hand(header, body):
        """Whatever stands in header and body, with a signature that is good."""
        content = f"{part(header)}.{part(body)}"
        signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(content.encode(), keys["rsa"])
        return f"{content}.{part(signature)}"

    def secret(content, key):
        return f"{content}.{part(hmac.new(key, content.encode(), hashlib.sha256).digest())}"

    good = [
        signed(),
        signed(algorithm="PS256"),
        signed("ec", "ES256"),
        signed("ed", "EdDSA"),
        signed(aud=["stock", "orders"]),
        signed(exp=now - 30),
        signed(nbf=now + 30),
        signed(headers={"typ": "at+jwt"}),
        signed(headers={"jku": "http://127.0.0.1:1/jwks", "x5u": "http://127.0.0.1:1/x"}),
        signed(keytype="PRODUCTION", scope="read write"),
    ]
    whole = signed()
    content, signature = whole.rsplit(".", 1)
    header = {"alg": "RS256", "kid": "rsa", "typ": "JWT"}
    stranger = ec.generate_private_key(ec.SECP256R1())
    stranger_jwk = json.loads(ECAlgorithm.to_jwk(stranger.public_key()))
    duplicate = json.dumps(claims())[:-1] + ', "sub": "root"}'
    forged = {
        "none": jwt.encode(claims(), None, "none"),
        **{f"alg {name}": f'{part({"alg": name})}.{part(claims())}.' for name in ("None", "NONE", "nOnE", "")},
        "none with a signature": f'{part({"alg": "none"})}.{part(claims())}.{signature}',
        "HS256 with the public key": secret(f'{part({**header, "alg": "HS256"})}.{part(claims())}', public_pem(keys["rsa"])),
        "HS256 with the JWK": secret(f'{part({**header, "alg": "HS256"})}.{part(claims())}', json.dumps(jwks[0]).encode()),
        "HS256 with nothing": secret(f'{part({**header, "alg": "HS256"})}.{part(claims())}', b""),
        "another algorithm's name": by_hand({**header, "alg": "ES256"}, claims()),
        "an algorithm in lower case": by_hand({**header, "alg": "rs256"}, claims()),
        "an algorithm that is not listed": jwt.encode(claims(), keys["rsa"], "RS512", headers={"kid": "rsa"}),
        "its own jwk": jwt.encode(claims(), stranger, "ES256", headers={"jwk": stranger_jwk}),
        "a stranger under a known name": jwt.encode(claims(), stranger, "ES256", headers={"kid": "ec"}),
        "a stranger's jku": jwt.encode(claims(), stranger, "ES256", headers={"jku": "http://127.0.0.1:1/"}),
        "a path for a key": by_hand({**header, "kid": "../../../../dev/null"}, claims()),
        "SQL for a key": by_hand({**header, "kid": "x' UNION SELECT 'key"}, claims()),
        "a long name for a key": by_hand({**header, "kid": "k" * 5000}, claims()),
        "no signature": content + ".",
        "no third part": content,
        "half a signature": content + "." + signature[: len(signature) // 2],
        "another body": f'{content.split(".")[0]}.{part(claims(sub="root"))}.{signature}',
        "padding": whole + "==",
        "a fourth part": whole + ".x",
        "the wrong issuer": signed(iss="https://issuer.example/"),
        "no issuer": signed(iss=None),
        "the wrong audience": signed(aud="stock"),
        "no audience": signed(aud=None),
        "over": signed(exp=now - 120),
        "never over": signed(exp=None),
        "over, as a text": by_hand(header, claims(exp=str(now + 3600))),
        "not yet": signed(nbf=now + 120),
        "a claim twice": by_hand(header, duplicate),
        "a header twice": by_hand('{"alg":"RS256","kid":"ed","kid":"rsa"}', claims()),
        "an unknown crit": by_hand({**header, "crit": ["mystery"], "mystery": 1}, claims()),
        "b64 false": by_hand({**header, "crit": ["b64"], "b64": False}, claims()),
        "a token for something else": by_hand({**header, "typ": "logout+jwt"}, claims()),
        "a list": by_hand(header, [claims()]),
        "12 KB of claims": signed(pad="x" * 12_000).replace("e", "f", 1),
        "opaque": "0e3f7a5c-1d2b-4c1e-8a55-ffffffffffff",
    }
    sandbox = signed(keytype="SANDBOX")
    (folder / "tokens.txt").write_text(json.dumps({"good": good, "forged": forged, "sandbox": sandbox}))


def ask(folder, port):
    tokens = json.loads((folder / "tokens.txt").read_text())

    def status(token):
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
        connection.request("GET", "/orders/1/x", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, answer.read()

    wrong = []
    for number, token in enumerate(tokens["good"]):
        got = status(token)
        if got[0] != 200 or json.loads(got[1])["side"] != "production":
            wrong.append(f"good token {number}: {got}")
    for name, token in tokens["forged"].items():
        got = status(token)
        if got[0] != 401:
            wrong.append(f"{name}: {got}")
    # As much as no header may hold, never mind a token.
    got = status("x" * 100_000)
    if got[0] not in (401, 431):
        wrong.append(f"100 KB: {got}")
    got = status(tokens["sandbox"])
    if got[0] != 200 or json.loads(got[1])["side"] != "sandbox":
        wrong.append(f"sandbox: {got}")
    print(f'{len(tokens["good"])} good and {len(tokens["forged"])} forged tokens of PyJWT: {len(wrong)} answered wrongly')
    if wrong:
        sys.exit("\n".join(wrong))


class Backend(http.server.BaseHTTPRequestHandler):
    """Tells which side it is, and the token it got."""

    def do_GET(self):
        side = self.path.rsplit("/", 1)[1]
        body = json.dumps({"side": side, "assertion": self.headers.get("X-JWT-Assertion", "")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    (folder / "backend.port").write_text(str(server.server_port))
    server.serve_forever()


command, folder, *more = sys.argv[1:]
{"make": make, "serve": serve, "ask": ask}[command](pathlib.Path(folder), *more)
