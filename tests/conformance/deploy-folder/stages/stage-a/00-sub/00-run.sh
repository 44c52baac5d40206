#!/bin/bash -e
mkdir -p "$DEPLOY_DIR"
echo one >"$DEPLOY_DIR/list"
