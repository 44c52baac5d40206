systemctl enable glovebox-grow.service glovebox-maintenance.service glovebox-warnings.timer
mkdir -p /data
