# SPDX-License-Identifier: MIT
#
# Shared by the lints, which source it: which files are ours, and how findings are reported. A lint prints one line per
# finding, "file:line: what is wrong", then how many files it saw, and exits 1 where it found something.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

OUR_FOLDERS="runtime backends kernels model conformance tools"

# our_files PATTERN...: source files by name, without what is generated, golden or a corpus.
our_files() {
    local names=() pattern
    for pattern in "$@"; do names+=(-o -name "$pattern"); done
    find $OUR_FOLDERS -type f \( "${names[@]:1}" \) \
        ! -path 'conformance/golden/*' ! -path 'conformance/fuzz/corpus/*' ! -path 'conformance/unit/data/*' \
        ! -path '*/__pycache__/*' | sort
}

# C that follows the house's form; a dialect's headers are text of other languages.
our_c_files() {
    our_files '*.c' '*.h' '*.cpp' | grep -v '^kernels/dialect/'
}

# verdict FILE-COUNT FINDINGS: prints both; the exit code.
verdict() {
    [ -z "$2" ] || printf '%s\n' "$2"
    echo "$(basename "$0"): $1 files, $(grep -c . <<<"$2" || true) findings"
    [ -z "$2" ]
}
