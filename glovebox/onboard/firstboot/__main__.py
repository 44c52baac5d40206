"""Take over what the owner put on the card; started by glovebox-settings.service."""

import sys

from glovebox.onboard.firstboot.takeover import main

sys.exit(main())
