#!/bin/sh
# Makes a virtual environment: venv.sh PYTHON FOLDER. On a bare Debian that lacks venv, root installs it.
set -eu
python=$1
folder=$2
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed, $("$python" --version) was found: give it with PYTHON=..." >&2
    exit 1
}
"$python" -m venv "$folder" 2>/dev/null && exit 0
rm -rf "$folder"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv
    "$python" -m venv "$folder"
    exit 0
fi
echo "Python's venv is missing: install the package python3-venv, then run this again" >&2
exit 1
