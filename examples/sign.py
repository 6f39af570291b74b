"""Sign and send a request: python3 sign.py KEY.pem CLIENT METHOD URL [JSON]. Needs the package `cryptography`.

HTTP Message Signatures (RFC 9421), Content-Digest (RFC 9530), Ed25519: specs/http.md, Authentication.
"""
import base64, hashlib, secrets, sys, time, urllib.error, urllib.request, uuid
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

def signed(key, client, method, url, body=b"", now=None):
    """The header fields of a signed request."""
    b64 = lambda data: base64.b64encode(data).decode()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    covered, fields = {"@method": method, "@target-uri": url}, {}
    if body:
        fields["content-digest"] = f"sha-256=:{b64(hashlib.sha256(body).digest())}:"
        fields["content-type"] = "application/json"
    if method == "POST":
        fields["idempotency-key"] = str(uuid.uuid4())  # keep it, and send the same again after a failure
    covered.update(fields)
    created = int(now or time.time())
    names = " ".join(f'"{name}"' for name in covered)
    keyid = f"{client}:{hashlib.sha256(public).hexdigest()[:16]}"
    parameters = (f'({names});created={created};expires={created + 300};nonce="{secrets.token_hex(16)}"'
                  f';keyid="{keyid}";alg="ed25519";tag="social-wallet-v1"')
    lines = [f'"{name}": {value}' for name, value in covered.items()]
    base = "\n".join(lines + [f'"@signature-params": {parameters}'])
    fields["signature-input"] = f"sig1={parameters}"
    fields["signature"] = f"sig1=:{b64(key.sign(base.encode()))}:"
    return fields

if __name__ == "__main__":
    file, client, method, url = sys.argv[1:5]
    body = sys.argv[5].encode() if len(sys.argv) > 5 else b""
    pem = open(file, "rb").read()
    key = load_pem_private_key(pem[pem.index(b"-----BEGIN"):], None)
    request = urllib.request.Request(url, body or None, signed(key, client, method, url, body), method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            print(answer.status, answer.read().decode())
    except urllib.error.HTTPError as refusal:
        sys.exit(f"{refusal.code} {refusal.read().decode()}")
