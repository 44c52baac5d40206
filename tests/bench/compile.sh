#!/bin/bash -e
# Compiles a fixed set of the server's files: by the cross compiler, or by the target's own compiler
# under emulation. Usage: compile.sh COMPILER JOBS SOURCES
compiler=$1 jobs=$2 source=$3
cd "$source"
flags=(-std=gnu11 -O2 -Isrc)
for folder in hiredis linenoise lua/src hdr_histogram fpconv fast_float; do
  flags+=("-Ideps/$folder")
done
mkdir -p /tmp/objects
printf '%s\n' dict t_list t_hash t_set aof networking bitops multi |
  xargs -P "$jobs" -I NAME "$compiler" "${flags[@]}" -c -o /tmp/objects/NAME.o src/NAME.c
