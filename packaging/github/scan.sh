#!/usr/bin/env bash
# Scans, leaves the findings as a table in the log, as Markdown on the job's page and as
# SARIF in a file, and ends with the scan's own exit code. Inputs come as environment, so
# that nothing of them is run.
set -euo pipefail

paths=() args=()
while IFS= read -r line; do [ -z "$line" ] || paths+=("$line"); done <<<"${BULWARK_PATH:-.}"
while IFS= read -r line; do [ -z "$line" ] || args+=("$line"); done <<<"${BULWARK_ARGS:-}"

summary=$(mktemp)
outputs=(-o table -o "markdown=$summary")
if [ -n "${BULWARK_SARIF:-}" ]; then
  outputs+=(-o "sarif=$BULWARK_SARIF")
fi
code=0
bulwark scan --no-color --fail-on "${BULWARK_FAIL_ON:-medium}" "${outputs[@]}" \
  ${args[@]+"${args[@]}"} -- "${paths[@]}" || code=$?
cat "$summary" >>"$GITHUB_STEP_SUMMARY"
rm -f "$summary"
{
  echo "exit-code=$code"
  if [ -n "${BULWARK_SARIF:-}" ] && [ -f "$BULWARK_SARIF" ]; then echo "sarif=$BULWARK_SARIF"; fi
} >>"$GITHUB_OUTPUT"
exit "$code"
