package image

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// exploited finds what is in the catalogue of known exploited vulnerabilities.
func exploited(i *cluster.Image, v *control.Verdict) bool {
	if !i.Matched {
		return false
	}
	var ids []string
	in := map[string][]cluster.Vulnerability{}
	for _, x := range i.Vulnerabilities {
		if x.Exploited {
			if in[x.ID] == nil {
				ids = append(ids, x.ID)
			}
			in[x.ID] = append(in[x.ID], x)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		var where, fixed []string
		for _, x := range in[id] {
			where = append(where, strings.TrimSpace(x.Package+" "+x.Installed))
			fixed = append(fixed, x.FixedIn...)
		}
		want := "a package without it; no fix is known"
		if len(fixed) > 0 {
			want = some(fixed, " or ")
		}
		v.Broken("vulnerabilities["+id+"]", "in "+some(where, " and "), want).Because("attackers are known to use it%s", ofBase(in[id][0].Base))
	}
	notAssessed(i, v)
	return true
}

// fixable finds packages with grave vulnerabilities for which there is a fix.
func fixable(i *cluster.Image, v *control.Verdict) bool {
	if !i.Matched {
		return false
	}
	type key struct{ name, installed string }
	var order []key
	in := map[key][]cluster.Vulnerability{}
	for _, x := range i.Vulnerabilities {
		if len(x.FixedIn) > 0 && (x.Severity == "critical" || x.Severity == "high") {
			k := key{x.Package, x.Installed}
			if in[k] == nil {
				order = append(order, k)
			}
			in[k] = append(in[k], x)
		}
	}
	for _, k := range order {
		var ids, fixed []string
		severity := control.Medium
		for _, x := range in[k] {
			ids = append(ids, x.ID)
			fixed = append(fixed, x.FixedIn...)
			if x.Severity == "critical" {
				severity = control.High
			}
		}
		want := "a version with the fixes"
		if slices.Sort(fixed); len(slices.Compact(slices.Clone(fixed))) == 1 {
			want = fixed[0] + " or later"
		}
		v.Broken("packages["+k.name+"]", k.installed, want).Rated(severity).Because("it has %s%s", some(ids, " and "), ofBase(in[k][0].Base))
	}
	notAssessed(i, v)
	return true
}

// notAssessed says what nobody could look for vulnerabilities in.
func notAssessed(i *cluster.Image, v *control.Verdict) {
	for _, n := range i.NotAssessed {
		path := "packages"
		if n.Type != "" {
			path += "[" + n.Type + "]"
		}
		reason := n.Reason
		if n.Packages > 0 {
			reason = fmt.Sprintf("%d not assessed: %s", n.Packages, n.Reason)
		}
		v.Unknown(path, reason)
	}
}

// endOfLife judges by the day on which the image was looked at. A distribution without
// releases has no end.
func endOfLife(i *cluster.Image, v *control.Verdict) bool {
	switch {
	case i.OS.ID == "" && i.OS.EndOfLife.IsZero(), i.OS.Version == "" && i.OS.EndOfLife.IsZero():
		return false
	case i.OS.EndOfLife.IsZero():
		v.Unknown("os", fmt.Sprintf("it is not known until when %s %s gets fixes", i.OS.ID, i.OS.Version))
	case i.Seen.IsZero():
		v.Unknown("os", "the image's facts do not say when it was looked at")
	case i.Seen.After(i.OS.EndOfLife.AddDate(0, 0, 1)):
		name := i.OS.Name
		if name == "" {
			name = i.OS.ID + " " + i.OS.Version
		}
		v.Broken("os", name, "a release that gets fixes").Because("its support ended on %s", i.OS.EndOfLife.UTC().Format(time.DateOnly))
	}
	return true
}

// guarded are rules whose finds somebody must first break, or that others share.
var guarded = map[string]bool{"encrypted-private-key": true, "password-hash": true, "keystore": true}

// leftSecret finds credentials in files, those of deleted ones too.
func leftSecret(i *cluster.Image, v *control.Verdict) bool {
	for _, s := range i.Secrets {
		if inConfig(s) {
			continue
		}
		line := ""
		if s.Line > 0 {
			line = fmt.Sprintf("line %d: ", s.Line)
		}
		f := v.Broken("files["+s.Path+"]", about(s), "an image without it")
		if s.Deleted {
			f.Because("%sa later layer deletes the file, and everybody who pulls the image can still read it%s", line, ofBase(s.Base))
		} else {
			f.Because("%severybody who pulls the image can read it%s", line, ofBase(s.Base))
		}
		if guarded[s.Rule] {
			f.Rated(control.Medium)
		}
	}
	return true
}

// builtSecret finds those in the configuration and the history.
func builtSecret(i *cluster.Image, v *control.Verdict) bool {
	for _, s := range i.Secrets {
		if inConfig(s) {
			v.Broken(s.Path, about(s), "a secret that is mounted while building or running").Because("everybody who pulls the image can read it%s", ofBase(s.Base))
		}
	}
	return true
}

func inConfig(s cluster.ImageSecret) bool {
	return strings.HasPrefix(s.Path, "config.") || strings.HasPrefix(s.Path, "history[")
}

func about(s cluster.ImageSecret) string {
	if s.About != "" {
		return s.About
	}
	return s.Rule
}

// usual are the set-id programs that distributions put into their images, and what may be
// expected of a program's own package.
var usual = map[string]bool{
	"su": true, "passwd": true, "chsh": true, "chfn": true, "newgrp": true, "gpasswd": true, "mount": true, "umount": true, "chage": true, "expiry": true,
	"unix_chkpwd": true, "unix_update": true, "pam_timestamp_check": true, "pam_extrausers_chkpwd": true, "ping": true, "ping6": true, "wall": true, "write": true,
	"write.ul": true, "bsd-write": true, "ssh-agent": true, "ssh-keysign": true, "dbus-daemon-launch-helper": true, "crontab": true, "at": true, "bbsuid": true,
	"newuidmap": true, "newgidmap": true, "fusermount": true, "fusermount3": true, "utempter": true, "userhelper": true, "locate": true, "plocate": true, "mlocate": true,
	"postdrop": true, "postqueue": true, "lockfile": true, "dotlockfile": true, "sudo": true, "doas": true, "chkpwd": true, "sg": true, "exim4": true, "screen": true,
}

// commanding are programs that run what they are told: with set-id root, whoever is in
// the container is root (gtfobins.github.io, "SUID").
var commanding = []string{
	"sh", "bash", "dash", "ash", "zsh", "ksh", "csh", "tcsh", "fish", "busybox", "env", "find", "vi", "vim", "nano", "ed", "less", "more", "awk", "gawk", "mawk", "sed",
	"python", "perl", "ruby", "node", "php", "lua", "java", "nmap", "tar", "zip", "cp", "mv", "dd", "tee", "cat", "gdb", "strace", "nsenter", "unshare", "setarch",
	"chroot", "docker", "nice", "timeout", "xargs", "watch", "make", "git", "curl", "wget", "socat", "openssl", "rsync", "systemctl", "tail", "head", "base64", "chmod", "chown",
}

// strongCapabilities are those that end with the container or its node.
var strongCapabilities = []string{
	"cap_sys_admin", "cap_sys_ptrace", "cap_sys_module", "cap_sys_rawio", "cap_dac_override", "cap_dac_read_search", "cap_setuid", "cap_setgid", "cap_setfcap", "cap_setpcap",
	"cap_chown", "cap_fowner", "cap_fsetid", "cap_bpf", "cap_net_admin", "cap_mac_admin", "cap_mknod", "cap_sys_chroot", "cap_sys_boot", "cap_linux_immutable",
}

func setID(i *cluster.Image, v *control.Verdict) bool {
	for _, f := range i.Files {
		base := path.Base(f.Path)
		got, severity := "", control.Low
		switch {
		case f.Mode&0o6000 != 0 && commands(base) && f.Mode&0o4000 != 0 && f.UID == 0:
			got, severity = "set to root's user, and runs what it is told", control.High
		case f.Mode&0o6000 != 0 && (!usual[base] || f.Owner == "" && len(i.Packages) > 0):
			got = setTo(f)
			if f.Owner == "" && f.Mode&0o4000 != 0 && f.UID == 0 {
				severity = control.Medium
			}
		}
		for _, c := range strongCapabilities {
			if holdsCapability(f.Capabilities, c) {
				got, severity = "given "+f.Capabilities, max(severity, control.Medium)
				break
			}
		}
		if got == "" {
			continue
		}
		finding := v.Broken("files["+f.Path+"]", got, "a file without it").Rated(severity)
		if f.Owner == "" {
			finding.Because("no package brought it%s", ofBase(f.Base))
		} else {
			finding.Because("it is of %s%s", f.Owner, ofBase(f.Base))
		}
	}
	return true
}

// holdsCapability reports whether a file's capabilities, "cap_a,cap_b+ep" or "=ep", have
// one that takes effect.
func holdsCapability(text, name string) bool {
	for clause := range strings.FieldsSeq(strings.ToLower(text)) {
		at := strings.IndexAny(clause, "+=")
		if at < 0 || !strings.ContainsAny(clause[at:], "ep") {
			continue
		}
		names := strings.Split(clause[:at], ",")
		if clause[:at] == "" || slices.Contains(names, "all") || slices.Contains(names, name) {
			return true
		}
	}
	return false
}

func commands(base string) bool {
	name := strings.TrimRight(base, "0123456789.-")
	return slices.Contains(commanding, name) || slices.Contains(commanding, base)
}

func setTo(f cluster.ImageFile) string {
	switch {
	case f.Mode&0o4000 != 0:
		return fmt.Sprintf("set to user %d", f.UID)
	default:
		return fmt.Sprintf("set to group %d", f.GID)
	}
}

func packageManager(i *cluster.Image, v *control.Verdict) bool {
	if len(i.Managers) > 0 {
		f := v.Broken("managers", some(i.Managers, " and "), "an image of the application and what it needs")
		if len(i.Shells) > 0 {
			f.Because("there is a shell too: %s", some(i.Shells, " and "))
		}
	}
	return true
}

func sshServer(i *cluster.Image, v *control.Verdict) bool {
	for _, name := range []string{"openssh-server", "dropbear", "dropbear-bin", "tinysshd"} {
		if slices.Contains(i.Packages, name) {
			v.Broken("packages["+name+"]", "installed", "kubectl exec, and no server")
		}
	}
	if len(v.Findings) == 0 && slices.Contains(i.Ports, "22/tcp") {
		v.Broken("config.ExposedPorts[22/tcp]", "exposed", "kubectl exec, and no server")
	}
	return true
}

func sudo(i *cluster.Image, v *control.Verdict) bool {
	for _, name := range []string{"sudo", "sudo-rs", "doas", "opendoas", "sudo-ldap"} {
		if slices.Contains(i.Packages, name) {
			v.Broken("packages["+name+"]", "installed", "a user with the rights that it needs")
		}
	}
	return true
}

// ofBase says whose fault it is.
func ofBase(base bool) string {
	if base {
		return "; it comes with the base image"
	}
	return ""
}

// some are at most three of the texts, each once.
func some(all []string, and string) string {
	var each []string
	for _, s := range all {
		if s != "" && !slices.Contains(each, s) {
			each = append(each, s)
		}
	}
	switch n := len(each); {
	case n > 3:
		return fmt.Sprintf("%s and %d more", strings.Join(each[:3], ", "), n-3)
	case n > 1:
		return strings.Join(each[:n-1], ", ") + and + each[n-1]
	}
	return strings.Join(each, "")
}
