#!/usr/bin/env bash
# Formats the C++ sources with clang-format-19; with --check only says which files are not formatted, and fails.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(git ls-files --cached --others --exclude-standard \
  '*.cc' '*.h' '*.c' ':!:src/text/unicode_tables.cc' | grep -E '^(src|include|tests|bench|fuzz|examples)/')
if [[ "${1:-}" == --check ]]; then
  clang-format-19 --dry-run -Werror "${files[@]}" 2>&1 | grep -o '^[^:]*:.*clang-format-violations' |
    cut -d: -f1 | sort | uniq -c | sed 's/$/ (run make format)/' >&2 || true
  clang-format-19 --dry-run -Werror "${files[@]}" >/dev/null 2>&1
else
  clang-format-19 -i "${files[@]}"
fi
