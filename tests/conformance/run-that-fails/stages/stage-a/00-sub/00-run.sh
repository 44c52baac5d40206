#!/bin/bash -e
echo "no such truck" >&2
false
true
