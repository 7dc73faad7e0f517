#!/bin/sh
# A repository as PostgreSQL's project lays it out: three suites, of which `forged-pgdg` is signed by a key that nobody was given.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get install --yes --quiet --no-install-recommends apt-utils gnupg >/dev/null
mkdir -p /srv/repository/pool /srv/work
cd /srv/work
for named in postgresql-17=17.99 postgresql-client-17=17.99 patroni=4.1.99 pgbackrest=2.99; do
    package="${named%%=*}"
    archive="$(find /var/cache/apt/archives -name "${package}_*.deb" | head -n 1)"
    [ -n "$archive" ] || { apt-get download --quiet "$package" && archive="$(find . -name "${package}_*.deb")"; }
    dpkg-deb --raw-extract "$archive" "$package"
    sed -i "s/^Version: .*/Version: ${named##*=}-1.pgdg13+1/" "$package/DEBIAN/control"
    dpkg-deb --root-owner-group -Znone --build "$package" "/srv/repository/pool/$package.deb" >/dev/null
done

key() {
    gpg --batch --quiet --passphrase '' --quick-generate-key "$1" rsa3072 sign never
}
key honest@example.org
key forger@example.org
gpg --armor --export honest@example.org >/srv/key.asc

cd /srv/repository
for named in trixie-pgdg=honest other-pgdg=honest forged-pgdg=forger; do
    suite="${named%%=*}"
    mkdir -p "dists/$suite/main/binary-$(dpkg --print-architecture)"
    apt-ftparchive packages pool >"dists/$suite/main/binary-$(dpkg --print-architecture)/Packages"
    apt-ftparchive -o "APT::FTPArchive::Release::Suite=$suite" -o APT::FTPArchive::Release::Components=main release "dists/$suite" >/srv/Release
    gpg --batch --quiet --local-user "${named##*=}@example.org" --clearsign --output "dists/$suite/InRelease" /srv/Release
done
mv /srv/key.asc key.asc
systemd-run --quiet --unit repository --working-directory=/srv/repository python3 -m http.server 8080
timeout 60 sh -c 'until ss -Hltn sport = :8080 | grep -q LISTEN; do :; done'
