package rpmdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// A Package is what a header says of one.
type Package struct {
	Name, Version, Release, Arch string
	// Epoch is 0 where there is none, which rpm takes for the same.
	Epoch uint32
	// SourceRPM is the file's name: "util-linux-2.37.4-18.el9.src.rpm".
	SourceRPM string
	License   string
	// Module is the modularity label: "nodejs:12:820210…:c27ad7f8".
	Module string
	// header has the names of files.
	bases, dirs, indexes, states, names entry
}

// The tags that are read (rpm's include/rpm/rpmtag.h) and their types (rpmtypes.h).
const (
	tagName       = 1000
	tagVersion    = 1001
	tagRelease    = 1002
	tagEpoch      = 1003
	tagLicense    = 1014
	tagArch       = 1022
	tagOldNames   = 1027
	tagStates     = 1029
	tagSourceRPM  = 1044
	tagIndexes    = 1116
	tagBases      = 1117
	tagDirs       = 1118
	tagModularity = 5096

	typeChar  = 1
	typeInt32 = 4
	// Strings end with a zero byte; of a translated one the first is the original.
	typeString, typeStrings, typeTranslated = 6, 8, 9
)

const (
	// maxTags is rpm's own bound (lib/header.c).
	maxTags = 0xffff
	// maxFiles is ten times what the largest package has.
	maxFiles = 1 << 20
)

// An entry is one tag's values, as long as the header is.
type entry struct {
	kind, count uint32
	data        []byte // from its first value to the header's end
}

// Parse reads a header: a count of tags, a count of bytes, the tags with 16 bytes each,
// the bytes. Tags that are there twice count as the last says, which is what rpm does
// with those that it added after installing (lib/header.c, "dribble").
func Parse(blob []byte) (*Package, error) {
	be := binary.BigEndian
	if len(blob) < 8 {
		return nil, errors.New("header: shorter than its head")
	}
	tags, size := int64(be.Uint32(blob)), int64(be.Uint32(blob[4:]))
	if tags < 1 || tags > maxTags || 8+16*tags+size > int64(len(blob)) {
		return nil, fmt.Errorf("header: %d tags and %d bytes, in %d", tags, size, len(blob))
	}
	index, data := blob[8:8+16*tags], blob[8+16*tags:8+16*tags+size]
	p := &Package{}
	texts := map[uint32]*string{
		tagName: &p.Name, tagVersion: &p.Version, tagRelease: &p.Release, tagArch: &p.Arch,
		tagSourceRPM: &p.SourceRPM, tagLicense: &p.License, tagModularity: &p.Module,
	}
	lists := map[uint32]*entry{tagBases: &p.bases, tagDirs: &p.dirs, tagIndexes: &p.indexes, tagStates: &p.states, tagOldNames: &p.names}
	for ; len(index) > 0; index = index[16:] {
		tag := be.Uint32(index)
		text, list := texts[tag], lists[tag]
		if text == nil && list == nil && tag != tagEpoch {
			continue
		}
		at := int64(be.Uint32(index[8:]))
		if at >= size {
			return nil, fmt.Errorf("header: tag %d lies beyond its end", tag)
		}
		e := entry{kind: be.Uint32(index[4:]), count: be.Uint32(index[12:]), data: data[at:]}
		switch {
		case text != nil:
			s, ok := e.text()
			if !ok {
				return nil, fmt.Errorf("header: tag %d is no text", tag)
			}
			*text = s
		case list != nil:
			*list = e
		default:
			if e.kind != typeInt32 || len(e.data) < 4 {
				return nil, errors.New("header: the epoch is no number")
			}
			p.Epoch = be.Uint32(e.data)
		}
	}
	if p.Name == "" {
		return nil, errors.New("header: names no package")
	}
	return p, nil
}

// text is the first value.
func (e entry) text() (string, bool) {
	if e.kind != typeString && e.kind != typeStrings && e.kind != typeTranslated {
		return "", false
	}
	s, _, ok := bytes.Cut(e.data, []byte{0})
	return string(s), ok
}

// texts are all values, of which none may be missing.
func (e entry) texts() ([]string, error) {
	if e.count == 0 {
		return nil, nil
	}
	// Each takes one byte at least.
	if e.kind != typeStrings || e.count > maxFiles || int64(e.count) > int64(len(e.data)) {
		return nil, errors.New("header: damaged list of files")
	}
	all := make([]string, e.count)
	rest := e.data
	for i := range all {
		s, after, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return nil, errors.New("header: damaged list of files")
		}
		all[i], rest = string(s), after
	}
	return all, nil
}

// EVR is the version as rpm prints it, with the epoch where it is not 0.
func (p *Package) EVR() string {
	if p.Epoch != 0 {
		return fmt.Sprintf("%d:%s-%s", p.Epoch, p.Version, p.Release)
	}
	return p.Version + "-" + p.Release
}

// Source is the name and version of the source package; ok is false where the header
// does not say. A source package's version never has its epoch.
func (p *Package) Source() (name, version string, ok bool) {
	s, ok := strings.CutSuffix(p.SourceRPM, ".rpm")
	if !ok {
		return "", "", false
	}
	if dot := strings.LastIndexByte(s, '.'); dot > 0 { // .src, .nosrc
		s = s[:dot]
	}
	release := strings.LastIndexByte(s, '-')
	if release < 1 {
		return "", "", false
	}
	v := strings.LastIndexByte(s[:release], '-')
	if v < 1 {
		return "", "", false
	}
	return s[:v], s[v+1:], true
}

// Files calls a function with the folder and the name of every file that is on the disk by the
// database's word: not those left out when installing, nor those that another package
// has replaced.
func (p *Package) Files(each func(dir, base string)) error {
	states := p.states.data
	if p.states.kind != typeChar || uint64(p.states.count) > uint64(len(states)) {
		states = nil
	} else {
		states = states[:p.states.count]
	}
	there := func(i int) bool {
		if i >= len(states) {
			return true
		}
		switch states[i] { // rpmfileState in rpm's include/rpm/rpmfi.h
		case 1, 2, 4: // replaced, not installed, of another architecture
			return false
		}
		return true
	}
	if p.bases.count == 0 { // as before rpm 4
		names, err := p.names.texts()
		for i, name := range names {
			if there(i) {
				each("", name)
			}
		}
		return err
	}
	bases, err := p.bases.texts()
	if err != nil {
		return err
	}
	dirs, err := p.dirs.texts()
	if err != nil {
		return err
	}
	if p.indexes.kind != typeInt32 || int(p.indexes.count) != len(bases) || len(p.indexes.data) < 4*len(bases) {
		return errors.New("header: damaged list of files")
	}
	for i, base := range bases {
		d := binary.BigEndian.Uint32(p.indexes.data[4*i:])
		if int64(d) >= int64(len(dirs)) {
			return errors.New("header: damaged list of files")
		}
		if there(i) {
			each(dirs[d], base)
		}
	}
	return nil
}
