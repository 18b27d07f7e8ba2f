#!/bin/sh
# What a napari window needs on a Linux machine without a screen.
#   window.sh install   installs it when root on Debian; otherwise says what is missing
#   window.sh command   prints the command that gives a program a screen (nothing where one is there)
set -eu

packages="xvfb xauth libegl1 libgl1 libglx-mesa0 libgl1-mesa-dri libegl-mesa0 libdbus-1-3 libfontconfig1
libglib2.0-0 libx11-xcb1 libxkbcommon0 libxkbcommon-x11-0 libxcb-cursor0 libxcb-glx0 libxcb-icccm4 libxcb-image0
libxcb-keysyms1 libxcb-randr0 libxcb-render0 libxcb-render-util0 libxcb-shape0 libxcb-shm0 libxcb-sync1 libxcb-util1
libxcb-xfixes0 libxcb-xkb1"

on_linux() { [ "$(uname -s)" = Linux ]; }

case ${1:-} in
command)
    if on_linux && [ -z "${DISPLAY:-}" ]; then
        echo 'xvfb-run -a -s "-screen 0 1600x1000x24"'
    fi
    ;;
install)
    on_linux || exit 0
    command -v dpkg-query >/dev/null || exit 0
    missing=""
    for package in $packages; do
        # Newer Debians renamed some (libglib2.0-0t64): a package that provides the name is as good.
        dpkg-query -W -f='${Status} ${Package} ${Provides}\n' 2>/dev/null |
            grep '^install ok installed' | grep -qw -- "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || exit 0
    if [ "$(id -u)" = 0 ]; then
        apt-get update -qq
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
    else
        echo "The tests of the window need these Debian packages; install them as root, then run this again:" >&2
        echo "  apt-get install$missing" >&2
        exit 1
    fi
    ;;
*)
    echo "usage: window.sh install|command" >&2
    exit 2
    ;;
esac
