systemctl enable recording-first.service not-yet.service
# Nobody has a screen to log in at: graphical.target only adds a step.
systemctl set-default multi-user.target
