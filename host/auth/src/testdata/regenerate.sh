#!/bin/sh
# Makes sealed.pem and unserved.pem beside it with openssl 3, whose legacy provider it needs:
#
#     host/auth/src/testdata/regenerate.sh
#
# sealed.pem holds one key again and again, in the clear first, then as each scheme seals it under
# "apassword"; unserved.pem holds keys, each with its certificate, that ring cannot use; signed.pem
# holds keys that it can, each with a certificate whose signature it does not verify, and one of
# the same name whose signature it does. A line "== NAME" begins each of them. keytool.txt
# holds key stores that Java's keytool has made, in Base64.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
legacy="-provider default -provider legacy"

openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/key.pem"
seal() { # NAME OPTION...
    name=$1
    shift
    echo "== $name"
    # shellcheck disable=SC2086
    openssl pkcs8 -topk8 $legacy -in "$work/key.pem" -passout pass:apassword "$@"
}
{
    echo "== clear"
    cat "$work/key.pem"
    for scheme in PBE-SHA1-3DES PBE-SHA1-2DES PBE-SHA1-RC2-40 PBE-SHA1-RC2-128 \
        PBE-MD5-DES PBE-SHA1-DES PBE-MD5-RC2-64 PBE-SHA1-RC2-64 \
        PBE-SHA1-RC4-128 PBE-SHA1-RC4-40; do
        seal "$scheme" -v1 "$scheme"
    done
    seal default
    seal aes-128-cbc -v2 aes-128-cbc
    seal aes-256-cbc-sha512 -v2 aes-256-cbc -v2prf hmacWithSHA512
    seal des3-sha1 -v2 des3 -v2prf hmacWithSHA1
    seal scrypt -scrypt -scrypt_N 1024
    seal camellia -v2 camellia-256-cbc
    echo "== traditional"
    openssl ec -in "$work/key.pem" -aes256 -passout pass:apassword 2>/dev/null
} >sealed.pem

unserved() { # NAME, then how genpkey makes the key
    name=$1
    shift
    echo "== $name"
    openssl genpkey -quiet "$@" -out "$work/other.pem"
    cat "$work/other.pem"
    openssl req -x509 -key "$work/other.pem" -subj "/CN=$name" -days 36500
}
{
    unserved rsa-1024 -algorithm RSA -pkeyopt rsa_keygen_bits:1024
    unserved rsa-exponent-3 -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3
    unserved rsa-4608 -algorithm RSA -pkeyopt rsa_keygen_bits:4608
    unserved rsa-pss -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048
    unserved p-521 -algorithm EC -pkeyopt ec_paramgen_curve:P-521
    unserved secp256k1 -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1
    unserved explicit-curve -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit
    unserved ed448 -algorithm ED448
    openssl dsaparam -out "$work/dsa" 2048 2>/dev/null
    echo "== dsa"
    openssl genpkey -quiet -paramfile "$work/dsa" -out "$work/other.pem"
    cat "$work/other.pem"
    openssl req -x509 -key "$work/other.pem" -subj "/CN=dsa" -days 36500
} >unserved.pem

signed() { # NAME ALGORITHM OPTION, then how the certificate is signed
    echo "== $1"
    openssl genpkey -quiet -algorithm "$2" -pkeyopt "$3" -out "$work/other.pem"
    cat "$work/other.pem"
    name=$1
    shift 3
    openssl req -x509 -key "$work/other.pem" -subj "/CN=$name" -days 36500 "$@"
    openssl req -x509 -key "$work/other.pem" -subj "/CN=$name" -days 36500 -sha256
}
{
    signed pss-long-salt RSA rsa_keygen_bits:2048 -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:222
    signed sha512-ecdsa EC ec_paramgen_curve:P-256 -sha512
    signed sha224-rsa RSA rsa_keygen_bits:2048 -sha224
    # Of these, both are verified.
    signed pss-short-salt RSA rsa_keygen_bits:2048 -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32
} >signed.pem

keytool_made() { # FILE TYPE CURVE
    keytool -genkeypair -keyalg EC -groupname "$3" -alias a -dname CN=localhost -validity 36500 \
        -keystore "$work/$1" -storetype "$2" -storepass apassword -keypass apassword 2>/dev/null
    echo "== $1"
    base64 "$work/$1"
}
{
    keytool_made own.p12 PKCS12 secp256r1
    keytool_made own.jks JKS secp384r1
} >keytool.txt
