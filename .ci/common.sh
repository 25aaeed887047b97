# What `run` and `release` share; both source it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export JAX_LSTM_NATIVE=1 # a native kernel that does not compile is an error here, not a skipped test
python=${PYTHON:-python3}

step() { printf '\n== %s\n' "$*"; }
fresh() { "$1" -m venv "$work/$2" && "$work/$2/bin/python" -m pip install -q --upgrade pip; }
inside() { (export PATH="$work/$1/bin:$PATH" && unset PYTHONPATH && bash -euo pipefail -c "$2"); }

find_python() { # a Python of this version; a shim of pyenv that finds none does not count
    for each in "python$1" "$(pyenv root 2>/dev/null)/versions/$1".*/bin/python; do
        if "$each" --version >/dev/null 2>&1; then echo "$each" && return; fi
    done
    return 1
}
