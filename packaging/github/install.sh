#!/usr/bin/env bash
# Puts bulwark on the PATH of the job's later steps: a release whose checksum is looked
# at, or the action's own source.
set -euo pipefail

bin="$RUNNER_TEMP/bulwark-bin"
mkdir -p "$bin"
if [ -z "${BULWARK_VERSION:-}" ]; then
  cd "$GITHUB_ACTION_PATH"
  CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$bin/bulwark" ./cmd/bulwark
else
  case "$RUNNER_ARCH" in X64) arch=amd64 ;; ARM64) arch=arm64 ;; *) echo "bulwark: error: no release for $RUNNER_ARCH" >&2; exit 1 ;; esac
  case "$RUNNER_OS" in Linux) os=linux ;; macOS) os=darwin ;; *) echo "bulwark: error: no release for $RUNNER_OS" >&2; exit 1 ;; esac
  archive="bulwark_${os}_$arch.tar.gz"
  url="${BULWARK_RELEASES:-${GITHUB_SERVER_URL:-https://github.com}/bulwark-k8s/bulwark/releases/download}/$BULWARK_VERSION"
  cd "$RUNNER_TEMP"
  curl -fsSL -o "$archive" "$url/$archive"
  curl -fsSL -o checksums.txt "$url/checksums.txt"
  want=$(awk -v a="$archive" '$2 == a {print $1}' checksums.txt)
  got=$({ sha256sum "$archive" 2>/dev/null || shasum -a 256 "$archive"; } | cut -d' ' -f1)
  if [ -z "$want" ] || [ "$got" != "$want" ]; then
    echo "bulwark: error: $archive: its checksum is $got, want ${want:-one in checksums.txt}" >&2
    exit 1
  fi
  tar -xzf "$archive" -C "$bin" bulwark
fi
echo "$bin" >>"$GITHUB_PATH"
