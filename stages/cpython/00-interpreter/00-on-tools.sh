#!/bin/bash -e
# Compiles CPython for the target: Debian's source with its patches, or a release by address.
# The place is always the same: Python remembers where it was compiled.
mkdir /usr/src/cpython
cd /usr/src/cpython
if ls "$SOURCES"/*.dsc >/dev/null 2>&1; then
  dpkg-source --no-check --extract "$SOURCES"/*.dsc source
else
  mkdir source
  tar --extract --strip-components=1 --directory=source --file "$(echo "$SOURCES"/*)"
fi
version=$(sed -n "s/^PACKAGE_VERSION='\(.*\)'$/\1/p" source/configure)
prefix=/opt/python-$version

# A cross build runs a Python of the same X.Y here, to freeze modules and to compile the library.
python=$(command -v python3)
if [ "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" != "$version" ]; then
  echo "the suite's Python is no $version: compiling a small one for this machine first"
  mkdir native
  (
    cd native
    ../source/configure --quiet --disable-test-modules --without-ensurepip OPT="-DNDEBUG -O1"
    make -j "$JOBS" --quiet
  )
  python=$PWD/native/python
fi

# What cannot be asked of a machine that is not there: ptys come from /dev/ptmx, as on every Linux,
# and glibc's getaddrinfo is none of the broken ones.
# Debian's libexpat and libmpdec, so that their fixes arrive with its updates.
mkdir target
cd target
export PKG_CONFIG_SYSROOT_DIR=$LIBRARIES
export PKG_CONFIG_LIBDIR=$LIBRARIES/usr/lib/${CROSS_COMPILE%-}/pkgconfig
../source/configure --quiet \
  --build="$(gcc -dumpmachine)" --host="${CROSS_COMPILE%-}" --with-build-python="$python" \
  --prefix="$prefix" --disable-test-modules --without-ensurepip --without-static-libpython \
  --with-system-expat --with-system-libmpdec \
  ac_cv_buggy_getaddrinfo=no ac_cv_file__dev_ptmx=yes ac_cv_file__dev_ptc=no \
  py_cv_module__curses=n/a py_cv_module__curses_panel=n/a py_cv_module__dbm=n/a \
  py_cv_module__gdbm=n/a py_cv_module__tkinter=n/a py_cv_module__uuid=n/a \
  py_cv_module_readline=n/a \
  CC="${CROSS_COMPILE}gcc --sysroot=$LIBRARIES" CXX="${CROSS_COMPILE}g++ --sysroot=$LIBRARIES" \
  OPT="-DNDEBUG -O2" CFLAGS="-ffile-prefix-map=/usr/src/cpython=."
make -j "$JOBS" --quiet
# It would compile the library three times over, with times in it: below it is done once.
make --quiet install DESTDIR="$OUT" COMPILEALL_OPTS=--help >/dev/null

# Left out, because a board has neither screen nor compiler: Tk with what stands on it, pip's own
# wheels (packages come from Debian, or by `pip --python` from elsewhere), headers, manual pages.
library=$OUT$prefix/lib/python$version
rm -r "$library"/{ensurepip,idlelib,tkinter,turtledemo,turtle.py} \
  "$OUT$prefix"/{include,share,lib/pkgconfig} \
  "$OUT$prefix"/bin/{idle,pydoc}* "$OUT$prefix"/bin/*-config "$library"/config-*
find "$OUT$prefix" -type f \( -name '*.so' -o -name "python$version" \) \
  -exec "${CROSS_COMPILE}strip" {} +

# Unchecked: the root file system of a car is read-only, so the source cannot change.
find "$library" -name __pycache__ -prune -exec rm -r {} +
"$python" -m compileall -q -j "$JOBS" --invalidation-mode unchecked-hash \
  -x 'bad_coding|badsyntax' -s "$OUT" -p / "$library"
