groupadd --system docker
gpasswd --add "$FIRST_USER_NAME" docker >/dev/null
id -u "$FIRST_USER_NAME" >/result/number
stat --format '%U %G' "/home/$FIRST_USER_NAME" "/home/$FIRST_USER_NAME/note" "/home/$FIRST_USER_NAME/.bashrc" >/result/owners
id -nG "$FIRST_USER_NAME" | tr ' ' '\n' | grep docker >/result/groups
