# Where `environment: {SERVICE_PYTHON: …}` names an interpreter, the service's units start by it.
python=${SERVICE_PYTHON:-}
if [ -n "$python" ]; then
  units=$(grep -ls '^ExecStart=.*/usr/bin/python3 -I -m telematics' /etc/systemd/system/*.service || true)
  if [ -z "$units" ]; then
    echo "SERVICE_PYTHON: the service is not here yet: in stages:, cpython comes after telematics" >&2
    exit 1
  fi

  # The service and its library for Kafka lie in Debian's folder. That library is compiled for
  # Debian's X.Y, so only an interpreter of the same can take it from there.
  packages=$("$python" -I -c 'import site; print(site.getsitepackages()[0])')
  install -d -m 755 "$packages"
  echo /usr/lib/python3/dist-packages >"$packages/debian.pth"
  if ! "$python" -I -c 'import confluent_kafka, telematics.service'; then
    echo "SERVICE_PYTHON: $python cannot run the service; it has to be of the X.Y of" >&2
    /usr/bin/python3 --version >&2
    exit 1
  fi

  for unit in $units; do
    install -d -m 755 "$unit.d"
    {
      echo '[Service]'
      echo 'ExecStart='
      sed -n "s|^\(ExecStart=.*\)/usr/bin/python3 |\1$python |p" "$unit"
    } >"$unit.d/50-interpreter.conf"
  done
fi
