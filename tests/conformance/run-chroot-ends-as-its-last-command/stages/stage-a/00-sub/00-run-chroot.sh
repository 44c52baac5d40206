echo "last words"
[ -e /nowhere ] && echo there
