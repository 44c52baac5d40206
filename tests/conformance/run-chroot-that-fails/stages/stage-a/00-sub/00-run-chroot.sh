echo "no such road" >&2
false
true
