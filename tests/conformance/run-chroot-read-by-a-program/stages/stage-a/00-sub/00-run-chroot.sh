mkdir -p /result
echo first >/result/order
wc -l >/dev/null
echo second >>/result/order
