mkdir -p /result
echo first >/result/order
cat >/result/eaten
echo second >>/result/order
