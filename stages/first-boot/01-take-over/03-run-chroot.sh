systemctl enable glovebox-settings.service
