#!/usr/bin/env python3
import os, shutil
root = os.environ["ROOTFS_DIR"]
os.makedirs(f"{root}/result", exist_ok=True)
shutil.copy("files/greeting", f"{root}/result/greeting")
