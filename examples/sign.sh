#!/bin/sh
# Sign and send a request: sign.sh KEY.pem CLIENT METHOD URL [JSON]. Needs OpenSSL 3, curl and nothing else.
# HTTP Message Signatures (RFC 9421), Content-Digest (RFC 9530), Ed25519: specs/http.md, Authentication.
set -eu
key=$1 client=$2 method=$3 url=$4 body=${5-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The key id: the client, a colon, the first 16 hexadecimal digits of SHA-256 of the 32 bytes of the public key.
fingerprint=$(openssl pkey -in "$key" -pubout -outform DER | tail -c 32 | openssl dgst -sha256 -r | cut -c 1-16)

names='"@method" "@target-uri"'
base="\"@method\": $method
\"@target-uri\": $url"
set -- -X "$method"
cover() { # a field that is sent and signed
    names="$names \"$1\""
    base="$base
\"$1\": $2"
}
if [ -n "$body" ]; then
    digest="sha-256=:$(printf %s "$body" | openssl dgst -sha256 -binary | openssl base64 -A):"
    cover content-digest "$digest"
    cover content-type application/json
    set -- "$@" -H "content-digest: $digest" -H 'content-type: application/json' --data-binary "$body"
fi
if [ "$method" = POST ]; then
    idempotency=$(openssl rand -hex 16) # keep it, and send the same again after a failure
    cover idempotency-key "$idempotency"
    set -- "$@" -H "idempotency-key: $idempotency"
fi
now=$(date +%s)
parameters="($names);created=$now;expires=$((now + 300));nonce=\"$(openssl rand -hex 16)\";keyid=\"$client:$fingerprint\""
parameters="$parameters;alg=\"ed25519\";tag=\"social-wallet-v1\""
printf '%s\n"@signature-params": %s' "$base" "$parameters" > "$work/base"
signature=$(openssl pkeyutl -sign -rawin -inkey "$key" -in "$work/base" | openssl base64 -A)
curl -sS --fail-with-body "$@" -H "signature-input: sig1=$parameters" -H "signature: sig1=:$signature:" "$url"
