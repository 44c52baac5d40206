# It starts on the target.
gpsd -V
