user={{ config.user.name | sh }}
timezone={{ config.timezone | sh }}
disk_id={{ disk_id }}
boot={{ boot | sh }}
{% if config.user.password_hash %}
password_hash={{ config.user.password_hash | secret | sh }}
{% endif %}
authorized_keys={{ access.public | join("\n") | sh }}
{% if config.base == "debian" or config.survives_cuts %}
whole=yes
{% endif %}
