mkdir -p /result; dpkg-query --show --showformat "\${Package}\n" hello >/result/said
