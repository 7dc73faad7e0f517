#!/bin/sh
# company.sh FOLDER: what a company brings along, made by openssl alone.
set -eu
mkdir -p "$1/signed" "$1/supplied" "$1/company"
chmod 700 "$1" "$1/signed" "$1/supplied" "$1/company"
cd "$1"

# A CA whose key has a passphrase, on another curve than the role's own.
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -aes256 -pass 'pass:of the company' -out signed/ca.key 2>/dev/null
openssl req -x509 -new -key signed/ca.key -passin 'pass:of the company' -subj '/O=Company/CN=Company CA' -days 2000 -out signed/ca.crt

# A root that is nowhere but on paper, an authority below it, and a server's certificate.
cd company
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout root.key -subj '/CN=Company root' -days 4000 -out root.crt 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout below.key -subj '/CN=Company servers' -out below.csr 2>/dev/null
printf 'basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign' >below.ext
openssl x509 -req -in below.csr -CA root.crt -CAkey root.key -days 3000 -extfile below.ext -out below.crt 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout server.key -subj '/CN=db.company.example' -out server.csr 2>/dev/null
printf 'subjectAltName=DNS:db.company.example\nextendedKeyUsage=serverAuth' >server.ext
openssl x509 -req -in server.csr -CA below.crt -CAkey below.key -days 60 -extfile server.ext -out server.crt 2>/dev/null
cat server.crt below.crt >chain.crt
cp root.crt ../supplied/ca.crt
