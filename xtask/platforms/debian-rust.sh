#!/bin/bash
# Unpacks Debian's newest compiler with its source into DIR, without root: DIR/rustc runs it. With `windows`, also builds the
# standard library for x86_64-pc-windows-gnu into it, once.
set -euo pipefail
dir=${1:?usage: debian-rust.sh DIR compiler|windows}
what=${2:?usage: debian-rust.sh DIR compiler|windows}
root=$dir/root

unpack_compiler() {
    # What rustc-web needs of its own making: its runtime library, its standard library and its LLVM, whose names carry versions.
    local parts
    parts=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances rustc-web |
        grep -oE '^(libstd-rust-web|libllvm)[^:]*' | sort -u)
    if [ -z "$parts" ]; then
        echo "the package lists here do not know rustc-web (Debian 12 with security updates has it; try apt-get update)" >&2
        exit 1
    fi
    rm -rf "$dir/debs" "$root"
    mkdir -p "$dir/debs"
    (cd "$dir/debs" && apt-get -q download rustc-web rust-web-src $parts)
    for deb in "$dir"/debs/*.deb; do dpkg-deb -x "$deb" "$root"; done
    rm -rf "$dir/debs"
    cat >"$dir/rustc" <<X
#!/bin/sh
LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu exec $root/usr/bin/rustc "\$@"
X
    chmod +x "$dir/rustc"
}

build_windows_library() {
    local triple=x86_64-pc-windows-gnu seed source
    local library=$root/usr/lib/rustlib/$triple/lib
    source=$(echo "$root"/usr/src/rustc-*/library)
    export RUSTC=$dir/rustc RUSTC_BOOTSTRAP=1
    mkdir -p "$library"
    for object in rsbegin rsend; do
        "$RUSTC" --crate-type lib --emit=obj --target $triple -O -o "$library/$object.o" "$source/rtstartup/$object.rs"
    done
    seed=$dir/seed
    rm -rf "$seed"
    mkdir -p "$seed/src"
    printf '[package]\nname = "seed"\nedition = "2024"\n[workspace]\n' >"$seed/Cargo.toml"
    echo 'fn main() {}' >"$seed/src/main.rs"
    (cd "$seed" && cargo build -q --release -Zbuild-std=std,panic_unwind,panic_abort,test --target $triple --target-dir "$seed/target")
    cp "$seed/target/$triple/release/deps/"lib*.rlib "$library/"
    rm -rf "$library"/libseed* "$seed"
}

[ -e "$dir/unpacked" ] || { unpack_compiler && touch "$dir/unpacked"; }
[ "$what" = windows ] || exit 0
[ -e "$dir/windows" ] || { build_windows_library && touch "$dir/windows"; }
