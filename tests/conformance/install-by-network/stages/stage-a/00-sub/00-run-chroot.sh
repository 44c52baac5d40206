# Stands for an archive on a network: it needs none.
mkdir -p /srv/archive/tree/DEBIAN
cat >/srv/archive/tree/DEBIAN/control <<CONTROL
Package: from-elsewhere
Version: 1
Architecture: all
Maintainer: nobody <nobody@example.org>
Description: a package of an archive that a script adds
CONTROL
cd /srv/archive
dpkg-deb --build tree from-elsewhere.deb >/dev/null
{
  cat tree/DEBIAN/control
  echo "Filename: ./from-elsewhere.deb"
  echo "Size: $(stat --format %s from-elsewhere.deb)"
  echo "SHA256: $(sha256sum <from-elsewhere.deb | cut -d' ' -f1)"
} >Packages
echo "deb [trusted=yes] file:/srv/archive ./" >/etc/apt/sources.list.d/own.list
apt-get update || true
