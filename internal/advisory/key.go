package advisory

import "strings"

// Normal returns the form in which the shard of a key knows a package: ecosystems that
// take several spellings for one name have one of them there.
func (k Key) Normal(name string) string {
	switch k {
	case "pypi": // PEP 503
		return pep503(name)
	case "nuget", "packagist": // neither tells upper case from lower
		return strings.ToLower(name)
	}
	return name
}

// pep503 makes runs of "-", "_" and "." one "-", in lower case.
func pep503(name string) string {
	clean := true
	for i := range len(name) {
		if c := name[i]; 'A' <= c && c <= 'Z' || c == '_' || c == '.' || c == '-' && i > 0 && name[i-1] == '-' {
			clean = false
			break
		}
	}
	if clean {
		return name
	}
	var b strings.Builder
	run := false
	for i := range len(name) {
		switch c := name[i]; {
		case c == '-' || c == '_' || c == '.':
			if !run {
				b.WriteByte('-')
			}
			run = true
			continue
		case 'A' <= c && c <= 'Z':
			b.WriteByte(c + 'a' - 'A')
		default:
			b.WriteByte(c)
		}
		run = false
	}
	return b.String()
}
