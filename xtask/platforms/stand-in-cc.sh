#!/bin/bash
# Takes the C compiler's place when a foreign target is only type-checked: nothing is linked, so an empty object will do.
out= previous=
for word in "$@"; do
    [ "$previous" = -o ] && out=$word
    previous=$word
done
case " $* " in *" -E "*) exec gcc "$@" ;; esac
[ -n "$out" ] && exec gcc -c -x c /dev/null -o "$out"
exec gcc "$@"
