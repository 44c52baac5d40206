# The first to log in is asked for the home's password; it is closed until there is one.
if [ -t 0 ] && [ -t 1 ] && [ ! -e /var/lib/home/secrets/password ]; then
  echo "This home is closed until you choose its password."
  sudo home-password || echo "Later: sudo home-password"
fi
