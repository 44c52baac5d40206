#!/bin/bash -e
# Makes the locale with the suite's own localedef; emulated it would take half a minute.
case "$LOCALE_DEFAULT" in
  C | C.* | POSIX) exit 0 ;;
esac
charset="${LOCALE_DEFAULT#*.}"
charset="${charset%@*}"
name="${LOCALE_DEFAULT%%.*}"
case "$LOCALE_DEFAULT" in *@*) name="$name@${LOCALE_DEFAULT#*@}" ;; esac
if [ ! -e "/usr/share/i18n/locales/$name" ]; then
  echo "image.yaml: locale: '$LOCALE_DEFAULT' is unknown to the suite's C library" >&2
  exit 1
fi
mkdir -p "$OUT/usr/lib/locale"
localedef --no-archive --little-endian --inputfile "$name" --charmap "$charset" \
  "$OUT/usr/lib/locale/$LOCALE_DEFAULT"
