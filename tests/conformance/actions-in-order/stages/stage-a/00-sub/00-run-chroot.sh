echo run-chroot >>/result/order
dpkg-query -W -f '${db:Status-Status}\n' cl-rt cl-anaphora >>/result/order
