#!/bin/bash -e
echo kept >"$STAGE_WORK_DIR/left"
echo gone >"$STAGE_WORK_DIR/removed"
