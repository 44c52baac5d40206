# It starts on the target, and every module that was promised finds its library.
for python in /opt/python-*/bin/python3; do
  "$python" -I -c 'import bz2, ctypes, decimal, lzma, sqlite3, ssl, sys, xml.parsers.expat, zlib
print(sys.version, ssl.OPENSSL_VERSION)'
done
