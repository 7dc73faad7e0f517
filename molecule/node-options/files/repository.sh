#!/bin/sh
# A repository in which everything has a newer version than what is installed; each package brings a program that a unit runs.
set -eu
mkdir -p /srv/repository
cd /srv/repository
for package in elephant-db-17 elephant-tool elephant-other; do
    for version in 1 2; do
        tree="/tmp/$package-$version"
        mkdir -p "$tree/DEBIAN" "$tree/opt/$package"
        cp /usr/bin/sleep "$tree/opt/$package/program"
        # Another file, so that needrestart sees the old one in use.
        echo "$version" >>"$tree/opt/$package/program"
        printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: none\n' "$package" "$version" >"$tree/DEBIAN/control"
        dpkg-deb --root-owner-group --build "$tree" "/srv/repository/${package}_$version.deb" >/dev/null
    done
done
dpkg --install ./*_1.deb >/dev/null
rm ./*_1.deb
apt-ftparchive packages . >Packages
apt-ftparchive -o APT::FTPArchive::Release::Origin=Elephant-Test -o APT::FTPArchive::Release::Suite=stable release . >Release.new
mv Release.new Release
echo 'deb [trusted=yes] file:/srv/repository ./' >/etc/apt/sources.list.d/test.list
echo 'Unattended-Upgrade::Origins-Pattern { "origin=Elephant-Test"; };' >/etc/apt/apt.conf.d/99test
apt-get update -q -o Dir::Etc::sourcelist=sources.list.d/test.list -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 >/dev/null
# The patterns of the scenario name the first two of these units, not the third.
for unit in patroni:elephant-other elephant-db@main:elephant-other ordinary:elephant-other; do
    cat >"/etc/systemd/system/${unit%%:*}.service" <<UNIT
[Service]
ExecStart=/opt/${unit##*:}/program 1d
UNIT
done
systemctl daemon-reload
systemctl start patroni elephant-db@main ordinary
