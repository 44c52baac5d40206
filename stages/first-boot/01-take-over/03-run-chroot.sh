systemctl enable glovebox-settings.service glovebox-screen.service
