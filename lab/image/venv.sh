#!/bin/sh
# Makes /opt/numapin, the virtual environment of agent's and operator's image, in their build
# stage. It is staged into the build context, so that both Dockerfiles share it and a plain
# `docker build` still works. Each step is a layer of its own:
#
#   venv.sh create [OPTION]   empty; OPTION is one of python3 -m venv
#   venv.sh dependencies      what requirements.lock pins, from wheels/dependencies
#   venv.sh numapin           numapin's own wheel, below /numapin
set -eu

install() {
  /opt/pip/bin/pip --python /opt/numapin/bin/python3 install --quiet --no-cache-dir --no-compile \
    --no-index "$@"
}

# By content: builders that even out time stamps would make every .pyc stale, and the root file
# system is read-only.
compile() {
  python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash "$@"
}

# The operator's client is 115 MB, as it comes. Its asynchronous half (60 MB) is imported by nothing
# here. The rest is generated code and mostly documentation: kept compiled, without either source
# or documentation strings. What is written by hand in it stays as it is.
slim() {
  [ -d "$1" ] || return 0
  rm -rf "$1/aio"
  for part in "$1/client/api" "$1/client/models"; do
    compile -b -o 2 "$part"
    find "$part" -name '*.py' -delete
  done
}

case $1 in
  create)
    shift
    # pip has a place of its own, so that the image is without it.
    python3 -m venv /opt/pip
    python3 -m venv --without-pip "$@" /opt/numapin
    ;;
  dependencies)
    install --find-links=wheels/dependencies --require-hashes -r requirements.lock
    slim /opt/numapin/lib/python3.*/site-packages/kubernetes
    compile /opt/numapin/lib
    ;;
  numapin)
    # Beside the dependencies, to be a small layer of its own: what a node must fetch after a
    # change is then 1 MB.
    install --no-deps --root /numapin wheels/numapin/*.whl
    compile -s /numapin /numapin/opt/numapin/lib
    ;;
  *)
    echo "venv.sh: create, dependencies or numapin, not $1" >&2
    exit 2
    ;;
esac
