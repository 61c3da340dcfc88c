#!/bin/sh
# Where the time of a bootstrap goes, as flame graphs where perf is installed, else as instructions counted by callgrind.
#
#     profile.sh HARNESS BOOTSTRAP FOLDER INFERNO
#
# perf samples the processor's clock, so it needs no counters and works in virtual machines. Stacks are unwound by the tables that
# panics need anyway; what is deeper than 8 KB is cut off. callgrind knows no AVX-512 and no SHA instructions: the code uses its
# slower implementations there.
set -eu
harness=$1 bootstrap=$2 folder=$3 inferno=$4
mkdir -p "$folder"
for messages in 10 1000; do
    name="$folder/profile-$messages"
    if command -v perf >/dev/null; then
        "$harness" drive "$bootstrap" --messages $messages --rounds 1 --turn 10 --launcher \
            "sh -c 'perf record --quiet --event cpu-clock --freq 499 --call-graph dwarf,8192 --output $name.perf --pid \$\$ & exec \"\$0\"'"
        # perf ends with the process, and then writes the end of its file
        while pgrep -f "perf record.*$name.perf" >/dev/null; do sleep 0.2; done
        perf script --input "$name.perf" 2>/dev/null | "$inferno/inferno-collapse-perf" | "$inferno/inferno-flamegraph" >"$name.svg"
        perf report --input "$name.perf" --no-children --call-graph none --sort symbol --percent-limit 0.5 --stdio 2>/dev/null >"$name.txt"
        echo "$name.svg and $name.txt"
    elif command -v valgrind >/dev/null; then
        # the process is killed in the end, so the dumps on the way are what there is; the second is past the start
        "$harness" drive "$bootstrap" --messages $messages --rounds 1 --turn 60 --launcher \
            "valgrind --quiet --tool=callgrind --dump-every-bb=100000000 --callgrind-out-file=$name.callgrind"
        callgrind_annotate "$name.callgrind.2" >"$name.txt"
        echo "$name.txt"
    else
        echo "no profile: neither perf nor valgrind is installed" >&2
        exit 1
    fi
done
