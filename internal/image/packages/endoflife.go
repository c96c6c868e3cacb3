package packages

import (
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// EndOfLifeAsOf is the day on which the table of ends of life was last looked over: of
// releases made since, and of dates that were moved since, it knows nothing.
var EndOfLifeAsOf = time.Date(2026, time.February, 1, 0, 0, 0, 0, time.UTC)

// lives says by os-release's ID until when its releases are supported without a contract,
// a day each: the last on which the distributor makes security updates for everybody.
// That is Debian's LTS, and Ubuntu's standard support without Pro.
//
// Where dates come from: distro-info-data 0.58 (Debian, Ubuntu),
// alpinelinux.org/releases, access.redhat.com/support/policy/updates/errata,
// wiki.almalinux.org/release-notes, wiki.rockylinux.org/rocky/version,
// centos.org/centos-linux-eol and centos.org/stream9,
// docs.fedoraproject.org/en-US/releases/eol, aws.amazon.com/linux (FAQs), suse.com/lifecycle,
// en.opensuse.org/Lifetime, oracle.com/a/ocom/docs/elsp-lifetime-069338.pdf,
// learn.microsoft.com/azure/azure-linux/release-cadence-lifecycle, and
// blogs.vmware.com/vsphere on Photon.
var lives = map[string]string{
	"debian": `6 2016-02-29  7 2018-05-31  8 2020-06-30  9 2022-06-30  10 2024-06-30  11 2026-08-31
		12 2028-06-30  13 2030-06-30`,
	"ubuntu": `14.04 2019-04-25  14.10 2015-07-23  15.04 2016-02-04  15.10 2016-07-28  16.04 2021-04-30
		16.10 2017-07-20  17.04 2018-01-13  17.10 2018-07-19  18.04 2023-05-31  18.10 2019-07-18
		19.04 2020-01-23  19.10 2020-07-17  20.04 2025-05-29  20.10 2021-07-22  21.04 2022-01-20
		21.10 2022-07-14  22.04 2027-06-01  22.10 2023-07-20  23.04 2024-01-25  23.10 2024-07-11
		24.04 2029-05-31  24.10 2025-07-10  25.04 2026-01-15  25.10 2026-07-09  26.04 2031-05-29
		26.10 2027-07-15`,
	"alpine": `3.0 2016-05-01  3.1 2016-11-01  3.2 2017-05-01  3.3 2017-11-01  3.4 2018-05-01
		3.5 2018-11-01  3.6 2019-05-01  3.7 2019-11-01  3.8 2020-05-01  3.9 2020-11-01  3.10 2021-05-01
		3.11 2021-11-01  3.12 2022-05-01  3.13 2022-11-01  3.14 2023-05-01  3.15 2023-11-01
		3.16 2024-05-23  3.17 2024-11-22  3.18 2025-05-09  3.19 2025-11-01  3.20 2026-04-01
		3.21 2026-11-01  3.22 2027-05-01  3.23 2027-11-01`,
	"rhel":      `5 2017-03-31  6 2020-11-30  7 2024-06-30  8 2029-05-31  9 2032-05-31  10 2035-05-31`,
	"almalinux": `8 2029-03-01  9 2032-05-31  10 2035-05-31`,
	"rocky":     `8 2029-05-31  9 2032-05-31  10 2035-05-31`,
	"centos":    `5 2017-03-31  6 2020-11-30  7 2024-06-30  8 2021-12-31`,
	stream:      `8 2024-05-31  9 2027-05-31  10 2030-01-01`,
	"ol":        `5 2017-06-30  6 2021-03-31  7 2024-12-31  8 2029-07-31  9 2032-06-30  10 2035-06-30`,
	"fedora": `20 2015-06-23  21 2015-12-01  22 2016-07-19  23 2016-12-20  24 2017-08-08  25 2017-12-12
		26 2018-05-29  27 2018-11-30  28 2019-05-28  29 2019-11-26  30 2020-05-26  31 2020-11-24
		32 2021-05-25  33 2021-11-30  34 2022-06-07  35 2022-12-13  36 2023-05-16  37 2023-12-05
		38 2024-05-21  39 2024-11-26  40 2025-05-13  41 2025-12-15  42 2026-05-13  43 2026-12-09`,
	"amzn": `2014 2023-12-31  2015 2023-12-31  2016 2023-12-31  2017 2023-12-31  2018 2023-12-31
		2 2026-06-30  2023 2029-06-30`,
	"opensuse-leap": `42.1 2017-05-17  42.2 2018-01-26  42.3 2019-07-01  15.0 2019-12-03  15.1 2021-02-02
		15.2 2022-01-04  15.3 2022-12-31  15.4 2023-12-07  15.5 2024-12-31  15.6 2026-04-30
		16.0 2027-10-31`,
	"sles": `11.4 2019-03-31  12 2016-06-30  12.1 2017-05-31  12.2 2018-03-31  12.3 2019-06-30
		12.4 2020-06-30  12.5 2024-10-31  15 2019-12-31  15.1 2021-01-31  15.2 2021-12-31
		15.3 2022-12-31  15.4 2023-12-31  15.5 2024-12-31  15.6 2025-12-31  15.7 2031-07-31`,
	"photon":     `1.0 2022-02-28  2.0 2022-12-31  3.0 2024-06-30`,
	"mariner":    `1.0 2023-08-31  2.0 2025-07-31`,
	"azurelinux": `3.0 2027-08-31`,
}

// stream is the table's own name for CentOS Stream, which has the same ID as CentOS
// Linux had and other dates.
const stream = "centos stream"

// EndOfLife is the day on which a distribution's release stops, or stopped, getting
// security updates that everybody may have; false where that is not known, or where the
// distribution rolls on and has no releases (Wolfi, Chainguard, Arch, Tumbleweed, edge).
func EndOfLife(os image.OS) (time.Time, bool) {
	id := os.ID
	switch {
	case id == "centos" && strings.Contains(os.Name, "Stream"):
		id = stream
	case id == "sles_sap" || id == "sled":
		id = "sles"
	}
	table := strings.Fields(lives[id])
	for i := 0; i+1 < len(table); i += 2 {
		release, day := table[i], table[i+1]
		within := strings.HasPrefix(os.Version, release+".") || strings.HasPrefix(os.Version, release+"_") // 8.10, 3.22.0_rc1
		// SLES' "15" is its first service pack's elder, not all of them.
		if os.Version != release && (!within || id == "sles") {
			continue
		}
		if end, err := time.Parse(time.DateOnly, day); err == nil {
			return end, true
		}
	}
	return time.Time{}, false
}
