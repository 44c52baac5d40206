mkdir -p /result
ls -d /usr/share/man/man1/hello.1.gz /usr/share/locale/de/LC_MESSAGES/hello.mo /usr/share/doc/hello/NEWS.gz >/result/said
