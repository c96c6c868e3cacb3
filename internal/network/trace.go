package network

// A trace keeps how one port was judged. A nil trace keeps nothing.
type trace struct {
	list      *list
	isolating []int32 // entries
	hits      []hit
	free      bool // something came to the end undecided
}

func (t *trace) hit(l *list, h hit) {
	if t != nil {
		t.list = l
		t.hits = append(t.hits, h)
	}
}

func (t *trace) isolates(l *list, entry int32) {
	if t != nil {
		t.list = l
		t.isolating = append(t.isolating, entry)
	}
}

func (t *trace) rest(ports PortSet) {
	if t != nil {
		t.free = !ports.Empty()
	}
}
