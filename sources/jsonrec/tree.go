package jsonrec

import "strconv"

// tree holds the member names that fields want, by path, so that one pass over
// a record finds them all. It is immutable.
type tree struct {
	nodes []node // the record's object first, every node before what is in it
}

// node is one member, or the record itself.
type node struct {
	name     string
	parent   int
	last     int     // behind the last node that is in this one
	children []entry // by hash of the name
	index    int     // that the name is of an element, or outside
	elements int     // how many elements of an array the children may name
}

// entry is one place of a node's hash table; node is 0 where it is free.
type entry struct {
	name string
	node int
}

// branch is a node while the tree is built.
type branch struct {
	name     string
	children []*branch
	node     int
}

// newTree returns the tree of paths, and the node of each.
func newTree(paths [][]string) (*tree, []int) {
	root := &branch{}
	ends := make([]*branch, len(paths))
	for i, path := range paths {
		b := root
		for _, name := range path {
			b = b.child(name)
		}
		ends[i] = b
	}
	t := new(tree)
	t.add(root, -1)
	nodes := make([]int, len(paths))
	for i, b := range ends {
		nodes[i] = b.node
	}
	return t, nodes
}

func (b *branch) child(name string) *branch {
	for _, c := range b.children {
		if c.name == name {
			return c
		}
	}
	c := &branch{name: name}
	b.children = append(b.children, c)
	return c
}

// add appends b and what is in it.
func (t *tree) add(b *branch, parent int) {
	b.node = len(t.nodes)
	t.nodes = append(t.nodes, node{name: b.name, parent: parent, index: elementIndex(b.name)})
	if parent >= 0 {
		t.nodes[parent].elements = max(t.nodes[parent].elements, t.nodes[b.node].index+1)
	}
	for _, c := range b.children {
		t.add(c, b.node)
	}
	t.nodes[b.node].last = len(t.nodes)
	if len(b.children) > 0 {
		t.nodes[b.node].children = t.table(b.children)
	}
}

// maxIndex is the last element of an array that a path can name.
const maxIndex = 9999

// elementIndex reads the name as the index of an element, written without
// leading zeros, or returns outside.
func elementIndex(name string) int {
	i, err := strconv.Atoi(name)
	if err != nil || i < 0 || i > maxIndex || strconv.Itoa(i) != name {
		return outside
	}
	return i
}

// element returns the child of node n for an element of an array, or outside.
func (t *tree) element(n, i int) int {
	for c := n + 1; c < t.nodes[n].last; c = t.nodes[c].last {
		if t.nodes[c].index == i {
			return c
		}
	}
	return outside
}

// table places children by hash; a quarter full at most, so that names which
// nobody wants mostly meet a free place.
func (t *tree) table(children []*branch) []entry {
	size := 4
	for size < 4*len(children) {
		size *= 2
	}
	table := make([]entry, size)
	for _, c := range children {
		at := hash([]byte(c.name)) & uint(size-1)
		for table[at].node != 0 {
			at = (at + 1) & uint(size-1)
		}
		table[at] = entry{c.name, c.node}
	}
	return table
}

// find returns the child of node n of that name, or outside.
func (t *tree) find(n int, name []byte) int {
	table := t.nodes[n].children
	if len(table) == 0 {
		return outside
	}
	mask := uint(len(table) - 1)
	for at := hash(name); ; at++ {
		e := &table[at&mask]
		if e.node == 0 {
			return outside
		}
		if e.name == string(name) {
			return e.node
		}
	}
}

// hash mixes the length and three bytes: cheap, and enough to tell the members
// of one object apart.
func hash(name []byte) uint {
	n := uint(len(name))
	if n == 0 {
		return 0
	}
	h := n*0x9e37 + uint(name[0])*0x85eb + uint(name[n>>1])*0xc2b3 + uint(name[n-1])*0x27d5
	return h ^ h>>15
}
