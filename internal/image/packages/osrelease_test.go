package packages

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

func TestReleaseFiles(t *testing.T) {
	for _, c := range []struct {
		name, path, in string
		want           *image.OS
	}{
		{
			"Debian", "etc/os-release",
			"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n",
			&image.OS{ID: "debian", Version: "12", Codename: "bookworm", Name: "Debian GNU/Linux 12 (bookworm)"},
		},
		{
			"Debian that is old", "etc/os-release",
			"PRETTY_NAME=\"Debian GNU/Linux 8 (jessie)\"\nVERSION_ID=\"8\"\nVERSION=\"8 (jessie)\"\nID=debian\n",
			&image.OS{ID: "debian", Version: "8", Codename: "jessie", Name: "Debian GNU/Linux 8 (jessie)"},
		},
		{
			"Ubuntu", "usr/lib/os-release",
			"PRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\nVERSION_ID=\"24.04\"\nVERSION_CODENAME=noble\nID=ubuntu\nID_LIKE=debian\n",
			&image.OS{ID: "ubuntu", Like: []string{"debian"}, Version: "24.04", Codename: "noble", Name: "Ubuntu 24.04.1 LTS"},
		},
		{
			"Alpine's edge", "etc/os-release",
			"NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.23.0_alpha20251016\nPRETTY_NAME=\"Alpine Linux edge\"\n",
			&image.OS{ID: "alpine", Version: "edge", Point: "3.23.0_alpha20251016", Name: "Alpine Linux edge"},
		},
		{"Alpine", "etc/alpine-release", "3.20.3\n", &image.OS{ID: "alpine", Version: "3.20.3", Name: "Alpine Linux v3.20.3"}},
		{"Alpine's edge by its older file", "etc/alpine-release", "3.23.0_alpha20251016\n", &image.OS{ID: "alpine", Version: "edge", Point: "3.23.0_alpha20251016", Name: "Alpine Linux v3.23.0_alpha20251016"}},
		{
			"Rocky", "etc/os-release",
			"NAME=\"Rocky Linux\"\nVERSION=\"9.3 (Blue Onyx)\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.3\"\n",
			&image.OS{ID: "rocky", Like: []string{"rhel", "centos", "fedora"}, Version: "9.3", Name: "Rocky Linux 9.3 (Blue Onyx)"},
		},
		{"Wolfi, which rolls", "etc/os-release", "ID=wolfi\nNAME=\"Wolfi\"\nPRETTY_NAME=\"Wolfi\"\nVERSION_ID=\"20230201\"\n", &image.OS{ID: "wolfi", Version: "20230201", Name: "Wolfi"}},
		{
			"quotes of every kind", "etc/os-release",
			"# ID=no\n  ID='My\\OS'  \nPRETTY_NAME=\"a \\\"b\\\" \\$c \\d\"\nVERSION_ID=1\\ 2\nnothing\n=x\nVERSION_CODENAME=\"\n",
			&image.OS{ID: `my\os`, Version: "1 2", Codename: `"`, Name: `a "b" $c \d`},
		},
		{"no distribution", "etc/os-release", "NAME=x\n", nil},
		{"Debian's point release", "etc/debian_version", "12.5\n", &image.OS{ID: "debian", Version: "12", Point: "12.5", Name: "Debian GNU/Linux 12.5"}},
		{"a derivative of Debian", "etc/debian_version", "trixie/sid\n", nil},
		{"CentOS", "etc/centos-release", "CentOS Linux release 7.9.2009 (Core)\n", &image.OS{ID: "centos", Like: []string{"rhel", "fedora"}, Version: "7", Point: "7.9.2009", Codename: "Core", Name: "CentOS Linux release 7.9.2009 (Core)"}},
		{"CentOS 6", "etc/redhat-release", "CentOS release 6.10 (Final)\n", &image.OS{ID: "centos", Like: []string{"rhel", "fedora"}, Version: "6", Point: "6.10", Codename: "Final", Name: "CentOS release 6.10 (Final)"}},
		{"Red Hat", "etc/redhat-release", "Red Hat Enterprise Linux Server release 6.10 (Santiago)\n", &image.OS{ID: "rhel", Like: []string{"fedora"}, Version: "6.10", Codename: "Santiago", Name: "Red Hat Enterprise Linux Server release 6.10 (Santiago)"}},
		{"nobody's", "etc/redhat-release", "hello\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, read(t, file(c.path, c.in)).OS); diff != "" {
				t.Errorf("OS (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSystemJoinsFiles(t *testing.T) {
	debian := image.OS{ID: "debian", Version: "12", Codename: "bookworm", Name: "Debian GNU/Linux 12 (bookworm)"}
	point := image.OS{ID: "debian", Version: "12", Point: "12.5", Name: "Debian GNU/Linux 12.5"}
	ubuntu := image.OS{ID: "ubuntu", Version: "22.04", Name: "Ubuntu 22.04"}
	day := func(s string) time.Time { d, _ := time.Parse(time.DateOnly, s); return d }
	for _, c := range []struct {
		name string
		in   map[string]image.OS
		want image.OS
	}{
		{"nothing", nil, image.OS{}},
		{
			"the point release is Debian's own",
			map[string]image.OS{"usr/lib/os-release": debian, "etc/debian_version": point},
			image.OS{ID: "debian", Version: "12", Point: "12.5", Codename: "bookworm", Name: "Debian GNU/Linux 12 (bookworm)", EndOfLife: day("2028-06-30")},
		},
		{
			"one that is left over says nothing",
			map[string]image.OS{"etc/os-release": ubuntu, "etc/debian_version": point, "usr/lib/os-release": debian},
			image.OS{ID: "ubuntu", Version: "22.04", Name: "Ubuntu 22.04", EndOfLife: day("2027-06-01")},
		},
		{
			"the older file alone",
			map[string]image.OS{"etc/debian_version": point},
			image.OS{ID: "debian", Version: "12", Point: "12.5", Name: "Debian GNU/Linux 12.5", EndOfLife: day("2028-06-30")},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, System(c.in)); diff != "" {
				t.Errorf("System (-want +got):\n%s", diff)
			}
		})
	}
}
