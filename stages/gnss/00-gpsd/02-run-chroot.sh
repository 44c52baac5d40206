# The service itself, not only its socket: with socket activation nothing reads the receiver until
# somebody connects.
systemctl enable gpsd.service gpsd.socket
