#!/usr/bin/env bash
# Makes the databases beside it from packages that rpm builds: SQLite as rpm writes it;
# Berkeley DB, which rpm only reads since 4.16, by Berkeley DB's own loader from the same
# headers; ndb, which Debian's rpm cannot write, by hand (lib/backend/ndb/rpmpkg.c). What
# rpm says of them is in want.txt. Needs Debian's rpm, db5.3-util and python3.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

package() { # name version release, then lines of the preamble
	local name=$1 version=$2 release=$3
	shift 3
	{
		printf 'Name: %s\nVersion: %s\nRelease: %s\nSummary: for a test\n' "$name" "$version" "$release"
		printf '%s\n' "$@" '%description' 'For a test.' '%install'
		printf 'mkdir -p %%{buildroot}/usr/lib/%s/deep %%{buildroot}/lib %%{buildroot}/usr/share/doc/%s\n' "$name" "$name"
		printf 'for i in $(seq 1 %s); do echo $i > %%{buildroot}/usr/lib/%s/deep/a-file-with-a-long-name-$i; done\n' "${files:-2}" "$name"
		printf 'echo x > %%{buildroot}/lib/%s.so; echo x > %%{buildroot}/usr/share/doc/%s/README\n' "$name" "$name"
		printf '%%files\n/usr/lib/%s\n/lib/%s.so\n%%doc /usr/share/doc/%s\n' "$name" "$name" "$name"
	} >"$work/$name.spec"
	rpmbuild -bb --quiet --define "_topdir $work/top" --define '_build_id_links none' "$work/$name.spec"
}

package plain 1.0 1 'License: MIT' 'BuildArch: noarch'
package nodejs 12.22.12 1.module_el8.6.0+2904+f7a2fd0c 'Epoch: 1' 'License: MIT and ASL 2.0' 'ModularityLabel: nodejs:12:8060020220523160029:ad008a3a'
package kernel-core 5.14.0 1.el9 'License: GPLv2' 'Provides: installonlypkg(kernel)'
files=100 package kernel-core 5.14.0 2.el9 'License: GPLv2' 'Provides: installonlypkg(kernel)'

db=(--dbpath "$work/sqlite" --define '_db_backend sqlite')
rpm "${db[@]}" -i --force-debian --justdb --nodeps --noscripts --ignorearch "$work"/top/RPMS/*/*.rpm
rpm "${db[@]}" -qa --qf '%{NAME}|%{EPOCHNUM}|%{VERSION}|%{RELEASE}|%{ARCH}|%{SOURCERPM}|%{LICENSE}|%{MODULARITYLABEL}|[%{FILENAMES}:%{FILESTATES},]\n' | LC_ALL=C sort >want.txt
# The headers, in hexadecimal, as key and value of a dump in Berkeley DB's format.
python3 - "$work" <<'PY'
import sqlite3, struct, sys
work = sys.argv[1]
rows = sqlite3.connect(work + "/sqlite/rpmdb.sqlite").execute("SELECT hnum, blob FROM Packages").fetchall()
for name, lorder in ("little", 1234), ("big", 4321):
    with open(f"{work}/{name}.dump", "w") as f:
        f.write(f"VERSION=3\nformat=bytevalue\ntype=hash\ndb_lorder={lorder}\ndb_pagesize=4096\nHEADER=END\n")
        for key, value in [(0, struct.pack("<I", len(rows)))] + rows:
            f.write(f" {struct.pack('<I', key).hex()}\n {value.hex()}\n")
        f.write("DATA=END\n")
slots, blobs, at = b"", b"", 4096
for i, (_, value) in enumerate(rows, 1):
    blob = struct.pack("<4sIII", b"BlbS", i, 1, len(value)) + value
    blob += bytes(-(len(blob) + 12) % 16) + struct.pack("<II4s", 0, len(value), b"BlbE")
    slots += struct.pack("<4sIII", b"Slot", i, at // 16, len(blob) // 16)
    blobs, at = blobs + blob, at + len(blob)
slots += struct.pack("<4sIII", b"Slot", 0, 0, 0) * (254 - len(rows))
with open(work + "/ndb", "wb") as f:
    f.write(struct.pack("<4sIIII12x", b"RpmP", 0, 1, 1, len(rows) + 1) + slots + blobs)
PY
for name in little big; do db5.3_load -f "$work/$name.dump" "$work/$name.bdb"; done
gzip -9nc "$work/sqlite/rpmdb.sqlite" >sqlite.gz
gzip -9nc "$work/ndb" >ndb.gz
gzip -9nc "$work/little.bdb" >bdb-little.gz
gzip -9nc "$work/big.bdb" >bdb-big.gz
