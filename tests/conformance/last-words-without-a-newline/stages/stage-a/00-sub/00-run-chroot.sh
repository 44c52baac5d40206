mkdir -p /result
echo whole >/result/said
printf done
